//! What is found by preparing and running the statements.
