//! What sessions and people used up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use crate::{
    budget::{Budget, Exhausted, Spent},
    ids::UserId,
};

/// `GET /sessions/{id}/budget`: what a session used up, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SessionBudget {
    /// The budget that holds: its own, else the server's usual one.
    pub budget: Budget,
    /// What it used up, with those that its agent began.
    pub spent: Spent,
    /// What its turn waits for; `null` where none waits.
    pub paused: Option<Exhausted>,
}

/// `GET /budgets`: what was used up today (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct DayBudgets {
    /// Days since 1970-01-01 UTC.
    pub day: u32,
    /// What one person may use up.
    pub user_day: Budget,
    /// What all people together may use up.
    pub team_day: Budget,
    /// What all people together used up.
    pub spent: Spent,
    /// What each person used up. Owners of the server see everybody, others themselves.
    pub by: BTreeMap<UserId, Spent>,
}
