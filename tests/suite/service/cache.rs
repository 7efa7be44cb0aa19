//! The service with a cache: what may be stale, for how long, and what never is.
