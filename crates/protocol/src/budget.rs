//! How much work may be used up: by a session, by a person in a day, and by everybody in a day.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Milliseconds of a day. Days of budgets are those of UTC.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A limit on each measure; `null` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Millionths of a US dollar.
    #[ts(type = "number | null")]
    pub cost_micro_usd: Option<u64>,
    /// Tokens read and written, cached ones included.
    #[ts(type = "number | null")]
    pub tokens: Option<u64>,
    /// Time in which turns ran, in milliseconds.
    #[ts(type = "number | null")]
    pub time_ms: Option<u64>,
    /// Tool calls that began.
    #[ts(type = "number | null")]
    pub tool_calls: Option<u64>,
}

/// What was used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Spent {
    /// Millionths of a US dollar, as far as prices are known.
    #[ts(type = "number")]
    pub cost_micro_usd: u64,
    /// Tokens read and written, cached ones included.
    #[ts(type = "number")]
    pub tokens: u64,
    /// Time in which turns ran, in milliseconds. While a turn waits for its budget, or the server is down, none passes.
    #[ts(type = "number")]
    pub time_ms: u64,
    /// Tool calls that began.
    #[ts(type = "number")]
    pub tool_calls: u64,
}

/// Something that a budget limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Money, in millionths of a US dollar.
    Cost,
    /// Tokens.
    Tokens,
    /// Time in which turns ran, in milliseconds.
    Time,
    /// Tool calls.
    ToolCalls,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// The session's, for as long as it lives. What its children use up counts.
    Session,
    /// That of a session above the one that waits, which is its child or its child's child.
    Parent,
    /// That of the person who prompted, for the day (UTC).
    UserDay,
    /// That of everybody on this server together, for the day (UTC).
    TeamDay,
}

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Exhausted {
    /// Whose.
    pub scope: BudgetScope,
    /// In which measure.
    pub measure: Measure,
    /// How much was used up, in the measure's unit.
    #[ts(type = "number")]
    pub spent: u64,
    /// How much there was.
    #[ts(type = "number")]
    pub limit: u64,
    /// What happened and who can raise it, for people.
    pub reason: String,
}

/// What each person used up of a session on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct DaySpent {
    /// The day: days since 1970-01-01 UTC.
    pub day: u32,
    /// By who prompted.
    pub by: std::collections::BTreeMap<crate::UserId, Spent>,
}

impl Budget {
    /// The first measure in which `spent` has reached this budget: what was spent, and the limit.
    #[must_use]
    pub fn reached_by(&self, spent: &Spent) -> Option<(Measure, u64, u64)> {
        let measures = [
            (Measure::Cost, spent.cost_micro_usd, self.cost_micro_usd),
            (Measure::Tokens, spent.tokens, self.tokens),
            (Measure::Time, spent.time_ms, self.time_ms),
            (Measure::ToolCalls, spent.tool_calls, self.tool_calls),
        ];
        measures.into_iter().find_map(|(measure, spent, limit)| {
            let limit = limit?;
            (spent >= limit).then_some((measure, spent, limit))
        })
    }
}

impl Spent {
    /// Adds `other` to this sum.
    pub fn add(&mut self, other: Self) {
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(other.cost_micro_usd);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.time_ms = self.time_ms.saturating_add(other.time_ms);
        self.tool_calls = self.tool_calls.saturating_add(other.tool_calls);
    }

    /// What is left of this after `other`, which was part of it.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            cost_micro_usd: self.cost_micro_usd.saturating_sub(other.cost_micro_usd),
            tokens: self.tokens.saturating_sub(other.tokens),
            time_ms: self.time_ms.saturating_sub(other.time_ms),
            tool_calls: self.tool_calls.saturating_sub(other.tool_calls),
        }
    }
}

/// The day of a moment, as [`DaySpent`] counts: `time_ms` is milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn day_of(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).unwrap_or(u32::MAX)
}

impl Measure {
    /// An amount in words, such as `$1.50` or `20 tool calls`.
    #[must_use]
    pub fn words(self, amount: u64) -> String {
        let counted = |count: u64, of: &str| format!("{count} {of}{}", if count == 1 { "" } else { "s" });
        match self {
            // Cents are as exact as a budget is set.
            Self::Cost => format!("${}.{:02}", amount / 1_000_000, amount % 1_000_000 / 10_000),
            Self::Tokens => counted(amount, "token"),
            Self::Time => counted(amount / 60_000, "minute"),
            Self::ToolCalls => counted(amount, "tool call"),
        }
    }
}
