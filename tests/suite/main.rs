//! The library through its public API alone, as an application uses it.
