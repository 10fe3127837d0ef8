//! What sessions may use up, and what they have.
//!
//! ```text
//!   the log ──fold──▶ spent (of the session), day_spent (by person) ──▶ Meter of the session ──▶ may the turn go on?
//!                                                                          │        ▲
//!                                                                          ▼        │
//!                                                       Ledger: the day, of all sessions together
//! ```
//!
//! A turn asks before every model request and before every tool call; where a budget is used up, it waits with its work intact. What a reply costs is known
//! only afterwards, so each turn that runs can exceed a budget by one reply; tool calls are counted before they begin and never exceed it.

mod family;
mod ledger;
mod meter;

use hangar_protocol::Budget;

pub(crate) use self::{
    family::{Families, Family, Member},
    ledger::Ledger,
    meter::{Meter, Priced},
};

/// The usual budgets, as the operator set them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Of one session, unless it was given another.
    pub session: Budget,
    /// Of one person and day (UTC), all sessions together.
    pub user_day: Budget,
    /// Of everybody and one day (UTC).
    pub team_day: Budget,
}
