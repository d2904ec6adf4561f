//! Stage 4: which delivery is due: lanes per destination, retry, breaker.
