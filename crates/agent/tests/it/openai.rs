//! Chat completions, from streams as services send them.
