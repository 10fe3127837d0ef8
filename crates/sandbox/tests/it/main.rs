//! Real sandboxes on this machine's kernel. The tests need root; `rootless` shows what works without.

mod bench;
mod files;
