//! The authority without a service: tokens, keys, sessions, one-time tokens, live connections,
//! passwords.

mod adoption;
#[cfg(feature = "asymmetric")]
mod asymmetric;
mod attacks;
mod bad_input;
mod calendar;
mod decisions;
mod differential;
#[cfg(feature = "password")]
mod hashes;
mod history;
mod issue_and_verify;
mod key_cache;
mod late_repeat;
#[cfg(feature = "live")]
mod live;
mod new_sessions;
mod one_time;
#[cfg(feature = "password")]
mod password;
mod properties;
mod races;
mod recovery_codes;
mod redaction;
mod restart;
mod revocation;
mod rotation;
mod rotation_failures;
mod session_tags;
mod sessions;
mod shortcut;
mod spawn;
mod stamp;
mod traps;
mod vectors;
