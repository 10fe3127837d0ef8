//! Tools of a session whose wish was tried in several forks: the agent compares them and chooses one. hangar carries them out, not the sandbox.

mod compare;
mod keep;

pub(super) use self::{compare::Compare, keep::Keep};
