//! Stage 6: search, redelivery, retention.
