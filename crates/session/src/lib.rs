//! The heart of hangar: sessions.
//!
//! A session is a log of events in a SQLite file of its own, and, while it has something to do, one task that writes it
//! ([`Sessions`] wakes it). The task asks the pure [`decide`](mod@decide) what follows from an input, makes that durable, and only
//! then answers, shows and starts it. Clients follow the log with a cursor ([`Subscription`]).
//!
//! Architecture invariant: only this crate writes a session's database, and only its driver knows both agent and sandbox. It
//! knows no HTTP.

mod access;
mod backup;
mod bell;
mod blobs;
mod brought;
mod budgets;
mod children;
mod clock;
mod clones;
mod collect;
pub mod decide;
mod diff;
mod driver;
mod examine;
mod file_watch;
mod floor;
mod forge_follower;
mod forge_words;
mod gateway;
mod ground;
mod harness;
mod home;
mod index;
mod list;
mod list_tail;
mod log;
mod mcp;
mod outbound;
mod partial;
pub mod past;
mod ports;
mod present;
mod pull_request;
mod put_right;
mod reads;
mod registry;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod released;
mod removal;
mod ring;
mod sandbox_host;
mod sessions;
mod snapshots;
mod started;
pub mod steps;
mod subscription;
mod sync;
mod tail;
mod title;
mod turn;
mod web;
mod woken_again;
mod working;
mod workspace;

pub use backup::{SESSIONS_WORKING, SessionsBackup, SessionsBackupError, log_of};
pub use brought::BroughtByCommits;
pub use budgets::Budgets;
pub use clones::{Clones, KeepClones};
pub use diff::from_forge as diff_from_forge;
pub use driver::Reply;
pub use examine::{Examined, examine};
pub use forge_follower::BRANCH_PREFIX;
pub use forge_words::forge_refusal;
pub use gateway::ModelGateway;
pub use index::{
    AtRest, Compared, Damaged, Rebuilt, check as check_index, put_aside as put_index_aside, rebuild as rebuild_index,
};
pub use list::{Before, SessionQuery, Shelf};
pub use log::sessions_in;
pub use mcp::McpServers;
pub use outbound::{Credential, Offer, Outbound};
pub use ports::{People, Ports};
pub use sandbox_host::origin_url;
pub use sessions::{ForkWish, Page, Sessions, StartError, random_request_id};
pub use subscription::{Delivery, Subscription};
pub use title::first_words;
