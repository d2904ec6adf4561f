//! Stage 3: dedup and durable keep in one step, then the answer.
