//! The programs that this crate makes, as they are started.

mod hook;
