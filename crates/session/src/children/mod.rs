//! Sessions that the agent of another session begins.
//!
//! ```text
//!   turn of the parent ──spawn_session──▶ begin.rs: limits, share ──▶ the child's log is begun (it exists) ──▶ child_spawned in the parent's log
//!            ▲                                                              │
//!            │                                                  its task works as any other's
//!      wait_sessions                                                        │ a turn begins, waits or ends; a pull request
//!            │                                                              ▼
//!   child_reported in the parent's log ◀── news.rs: what its log says now ──┘
//! ```
//!
//! **The child's log is the truth.** Its id follows from the call that begins it (`id.rs`), so a call that is made again after a kill finds the child
//! that the first one began. What the parent's log says of it is heard from there: whenever the child's task tells, when the parent wakes, and when its
//! agent waits. So nothing is lost when either is killed, and nothing has to be done twice.

mod begin;
mod id;
mod news;
mod others;

pub(crate) use self::news::{Reporter, tell_below, tells_parent};
