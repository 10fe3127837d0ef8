//! The transcript of `make demo` against the real source it was written for.
