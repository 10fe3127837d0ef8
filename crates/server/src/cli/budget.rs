//! `hangar budget`: what was used up, and what may be.

use clap::Args;
use hangar_protocol::{
    Budget as Limits, SessionId, Spent,
    api::{DayBudgets, SessionBudget},
    budget::Measure,
};

use super::{
    bad_request, connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    which_session::which_session,
};

/// The word that lifts a limit.
const NONE: &str = "none";

/// Show what a session used up, or everybody today; raise or lower a session's budget
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar budget                             what was used up today (UTC)
  hangar budget k3x9                        what a session used up
  hangar budget k3x9 --usd 5                from now on it may cost 5 dollars in all
  hangar budget k3x9 --tool-calls none      no limit of tool calls

A turn that waited for the session's budget goes on by itself. Owners of the server may change budgets;
the usual ones are set in hangar.toml (`[budgets]`).")]
pub(super) struct Budget {
    /// The session: its id, or the beginning of it.
    #[arg(value_name = "S")]
    session: Option<String>,
    /// Money over its whole life, in US dollars, or `none`.
    #[arg(long, value_name = "DOLLARS", requires = "session")]
    usd: Option<String>,
    /// Tokens over its whole life, or `none`.
    #[arg(long, value_name = "N", requires = "session")]
    tokens: Option<String>,
    /// Minutes in which its turns run, or `none`.
    #[arg(long, value_name = "N", requires = "session")]
    minutes: Option<String>,
    /// Tool calls over its whole life, or `none`.
    #[arg(long, value_name = "N", requires = "session")]
    tool_calls: Option<String>,
}

impl Budget {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let client = connect()?;
        let Some(session) = &self.session else {
            let today = client.day_budgets().await?;
            return show_day(terminal, &today);
        };
        let session = which_session(&client, session).await?;
        let mut shown = client.budget(&session).await?;
        let wanted = self.wanted(shown.budget)?;
        if wanted != shown.budget {
            client.set_budget(&session, &wanted).await?;
            shown = client.budget(&session).await?;
        }
        show_session(terminal, &session, &shown)
    }

    /// The budget with what was given in the place of what was there.
    fn wanted(&self, now: Limits) -> Result<Limits, super::Failure> {
        let given = |text: &Option<String>, now, unit| text.as_deref().map_or(Ok(now), |text| limit(text, unit));
        Ok(Limits {
            cost_micro_usd: given(&self.usd, now.cost_micro_usd, 1_000_000.0)?,
            tokens: given(&self.tokens, now.tokens, 1.0)?,
            time_ms: given(&self.minutes, now.time_ms, 60_000.0)?,
            tool_calls: given(&self.tool_calls, now.tool_calls, 1.0)?,
        })
    }
}

/// An amount of `unit`s, or none.
fn limit(text: &str, unit: f64) -> Result<Option<u64>, super::Failure> {
    if text == NONE {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && (0.0..1e12).contains(&amount) => Ok(Some((amount * unit).round() as u64)),
        Ok(_) | Err(_) => Err(bad_request(format!("“{text}” is no limit."), "Write a number, or none.")),
    }
}

fn show_session(terminal: &mut Terminal, session: &SessionId, shown: &SessionBudget) -> Outcome {
    if terminal.is_json() {
        terminal.json(shown)?;
        return Ok(Ended::Well);
    }
    for line in columns(terminal.painter(), &measures(&shown.spent, &shown.budget)) {
        terminal.line(&line)?;
    }
    if let Some(exhausted) = &shown.paused {
        terminal.remark(Look::Notice, &format!("Session {session} waits. {}", exhausted.reason));
    }
    Ok(Ended::Well)
}

fn show_day(terminal: &mut Terminal, today: &DayBudgets) -> Outcome {
    if terminal.is_json() {
        terminal.json(today)?;
        return Ok(Ended::Well);
    }
    let mut rows = vec![row("", Look::Faint, ["money", "tokens", "time", "tool calls"].map(str::to_owned))];
    rows.push(row("everybody", Look::Strong, amounts(&today.spent, &today.team_day)));
    rows.extend(today.by.iter().map(|(user, spent)| row(user.as_str(), Look::Plain, amounts(spent, &today.user_day))));
    for line in columns(terminal.painter(), &rows) {
        terminal.line(&line)?;
    }
    terminal.remark(Look::Faint, "Used up today (UTC), of what may be.");
    Ok(Ended::Well)
}

fn row(name: &str, look: Look, [money, tokens, time, calls]: [String; 4]) -> [Cell; 5] {
    [(look, name.to_owned()), (look, money), (look, tokens), (look, time), (look, calls)]
}

fn amounts(spent: &Spent, limits: &Limits) -> [String; 4] {
    parts(spent, limits).map(|(measure, spent, limit)| match limit {
        Some(limit) => format!("{} of {}", measure.words(spent), measure.words(limit)),
        None => measure.words(spent),
    })
}

fn measures(spent: &Spent, limits: &Limits) -> [[Cell; 2]; 4] {
    parts(spent, limits).map(|(measure, spent, limit)| {
        let limit = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {}", measure.words(limit)));
        [(Look::Strong, measure.words(spent)), (Look::Plain, limit)]
    })
}

fn parts(spent: &Spent, limits: &Limits) -> [(Measure, u64, Option<u64>); 4] {
    [
        (Measure::Cost, spent.cost_micro_usd, limits.cost_micro_usd),
        (Measure::Tokens, spent.tokens, limits.tokens),
        (Measure::Time, spent.time_ms, limits.time_ms),
        (Measure::ToolCalls, spent.tool_calls, limits.tool_calls),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_told() {
        assert!(matches!(limit("none", 1.0), Ok(None)));
        assert!(matches!(limit("2.50", 1_000_000.0), Ok(Some(2_500_000))));
        for wrong in ["", "-1", "inf", "five", "1e13"] {
            assert!(limit(wrong, 1.0).is_err(), "{wrong}");
        }
        let spent = Spent { cost_micro_usd: 1_239_999, tokens: 10, time_ms: 90_000, tool_calls: 3 };
        let limits = Limits { tool_calls: Some(4), ..Limits::default() };
        assert_eq!(amounts(&spent, &limits), ["$1.23", "10 tokens", "1 minute", "3 tool calls of 4 tool calls"]);
    }
}
