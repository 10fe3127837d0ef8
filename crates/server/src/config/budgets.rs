//! How much work may be used up.

use hangar_protocol::Budget;
use hangar_session::Budgets;

use super::{Shape, keys::section};

section! {
    /// `[budgets]`: how much work sessions and people may use up. A turn that reaches a limit waits with its work intact until the limit is raised.
    BudgetsConfig in "budgets" {
        /// Money that one session may use up over its whole life; 0 for no limit. Where money is limited, a model whose price is not known is not asked.
        session_cents: u32 = 0, Shape::Number("US cents");
        /// Tokens that one session may use up over its whole life; 0 for no limit.
        session_tokens: u32 = 0, Shape::Number("tokens");
        /// Time in which turns run that one session may use up over its whole life; 0 for no limit.
        session_minutes: u32 = 0, Shape::Number("minutes");
        /// Tool calls that one session may use up over its whole life; 0 for no limit.
        session_tool_calls: u32 = 0, Shape::Number("calls");
        /// Money that one person may use up on one day (UTC), in all sessions together; 0 for no limit. Where money is limited, a model whose price is not known is not asked.
        user_day_cents: u32 = 0, Shape::Number("US cents");
        /// Tokens that one person may use up on one day (UTC), in all sessions together; 0 for no limit.
        user_day_tokens: u32 = 0, Shape::Number("tokens");
        /// Time in which turns run that one person may use up on one day (UTC), in all sessions together; 0 for no limit.
        user_day_minutes: u32 = 0, Shape::Number("minutes");
        /// Tool calls that one person may use up on one day (UTC), in all sessions together; 0 for no limit.
        user_day_tool_calls: u32 = 0, Shape::Number("calls");
        /// Money that all people together may use up on one day (UTC); 0 for no limit. Where money is limited, a model whose price is not known is not asked.
        team_day_cents: u32 = 0, Shape::Number("US cents");
        /// Tokens that all people together may use up on one day (UTC); 0 for no limit.
        team_day_tokens: u32 = 0, Shape::Number("tokens");
        /// Time in which turns run that all people together may use up on one day (UTC); 0 for no limit.
        team_day_minutes: u32 = 0, Shape::Number("minutes");
        /// Tool calls that all people together may use up on one day (UTC); 0 for no limit.
        team_day_tool_calls: u32 = 0, Shape::Number("calls");
    }
}

impl BudgetsConfig {
    /// As sessions take it.
    pub(crate) fn budgets(&self) -> Budgets {
        Budgets {
            session: budget(self.session_cents, self.session_tokens, self.session_minutes, self.session_tool_calls),
            user_day: budget(
                self.user_day_cents,
                self.user_day_tokens,
                self.user_day_minutes,
                self.user_day_tool_calls,
            ),
            team_day: budget(
                self.team_day_cents,
                self.team_day_tokens,
                self.team_day_minutes,
                self.team_day_tool_calls,
            ),
        }
    }
}

fn budget(cents: u32, tokens: u32, minutes: u32, tool_calls: u32) -> Budget {
    let limit = |amount: u32, unit: u64| (amount > 0).then(|| u64::from(amount) * unit);
    Budget {
        cost_micro_usd: limit(cents, 10_000),
        tokens: limit(tokens, 1),
        time_ms: limit(minutes, 60_000),
        tool_calls: limit(tool_calls, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_no_limit_and_units_are_right() {
        let config =
            BudgetsConfig { session_cents: 250, user_day_minutes: 2, team_day_tokens: 3, ..Default::default() };
        let none = Budget::default();
        let expected = Budgets {
            session: Budget { cost_micro_usd: Some(2_500_000), ..none },
            user_day: Budget { time_ms: Some(120_000), ..none },
            team_day: Budget { tokens: Some(3), ..none },
        };
        assert_eq!(config.budgets(), expected);
    }
}
