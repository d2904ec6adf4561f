//! Stage 5: one attempt is one request is one outcome.
