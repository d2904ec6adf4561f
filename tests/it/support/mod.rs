//! What tests need to run a real gateway and look at it from outside.
