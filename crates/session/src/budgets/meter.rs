//! Whether a session's turn may go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hangar_agent::models::Price;
use hangar_protocol::{
    Budget, Exhausted, SessionId, SessionState, Spent, UserId,
    budget::{BudgetScope, Measure, day_of},
};

use super::{Budgets, Family, Ledger};

/// What one session used up, as far as its log is durable, and what may still be.
pub(crate) struct Meter {
    usual: Budgets,
    ledger: Arc<Ledger>,
    /// Those whose spending counts together with this session's.
    family: Arc<Family>,
    session: SessionId,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    spent: Spent,
    /// Calls that were let through and are not in the log yet.
    calls_begun: u64,
}

impl Meter {
    pub(crate) fn new(session: SessionId, usual: Budgets, ledger: Arc<Ledger>, family: Arc<Family>) -> Self {
        Self { usual, ledger, family, session, own: Mutex::default() }
    }

    /// Those whose spending counts together with this session's.
    pub(crate) fn family(&self) -> &Arc<Family> {
        &self.family
    }

    /// The session's budget, and what counts for it so far.
    pub(crate) fn budget(&self) -> (Budget, Spent) {
        let lineage = self.family.lineage(&self.session);
        let (budget, mut spent) = lineage.first().copied().unwrap_or_default();
        spent.tool_calls += self.own().calls_begun;
        (budget.unwrap_or(self.usual.session), spent)
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        // Plain numbers, replaced in one go.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the folded log, which is durable.
    pub(crate) fn read(&self, state: &SessionState, now_ms: u64) {
        let mut own = self.own();
        let new_calls = state.spent.tool_calls.saturating_sub(own.spent.tool_calls);
        own.calls_begun = own.calls_begun.saturating_sub(new_calls);
        own.spent = state.spent;
        drop(own);
        self.family.tell(state);
        self.ledger.tell(&state.id, &state.day_spent, day_of(now_ms));
    }

    /// A turn begins or goes on: no call of an earlier one is on its way any more.
    pub(crate) fn turn_begins(&self) {
        self.own().calls_begun = 0;
    }

    /// Whether the model may be asked in the name of `user`. `priced`: the price of what it answers is known.
    pub(crate) fn admit_request(&self, user: &UserId, priced: Priced, now_ms: u64) -> Result<(), Exhausted> {
        let own = self.own();
        self.check(&own, user, now_ms)?;
        match priced {
            Priced::Known => Ok(()),
            Priced::Unknown => self.refuse_unpriced(user, now_ms),
        }
    }

    /// Whether a tool may be called in the name of `user`. A call that is let through counts at once.
    pub(crate) fn admit_call(&self, user: &UserId, now_ms: u64) -> Result<(), Exhausted> {
        let mut own = self.own();
        self.check(&own, user, now_ms)?;
        own.calls_begun += 1;
        Ok(())
    }

    fn check(&self, own: &Own, user: &UserId, now_ms: u64) -> Result<(), Exhausted> {
        let found = self.scopes(user, now_ms).into_iter().find_map(|(scope, budget, mut spent)| {
            spent.tool_calls += own.calls_begun;
            budget.reached_by(&spent).map(|(measure, spent, limit)| exhausted(scope, measure, spent, limit, user))
        });
        found.map_or(Ok(()), Err)
    }

    /// Where money is limited and nobody knows what a reply costs, none is asked for.
    fn refuse_unpriced(&self, user: &UserId, now_ms: u64) -> Result<(), Exhausted> {
        let limited = self.scopes(user, now_ms).into_iter().find_map(|(scope, budget, spent)| {
            budget.cost_micro_usd.map(|limit| Exhausted {
                scope,
                measure: Measure::Cost,
                spent: spent.cost_micro_usd,
                limit,
                reason: "Money is limited here, and the price of this session's model is not known. An owner of the server can set \
                         it (`models.input_usd` and its like in hangar.toml), or lift the limit."
                    .to_owned(),
            })
        });
        limited.map_or(Ok(()), Err)
    }

    fn scopes(&self, user: &UserId, now_ms: u64) -> Vec<(BudgetScope, Budget, Spent)> {
        let (user_spent, all_spent) = self.ledger.spent(day_of(now_ms), user);
        let above = std::iter::once(BudgetScope::Session).chain(std::iter::repeat(BudgetScope::Parent));
        let lineage = self.family.lineage(&self.session);
        let mut scopes: Vec<_> = above
            .zip(lineage)
            .map(|(scope, (budget, spent))| (scope, budget.unwrap_or(self.usual.session), spent))
            .collect();
        scopes.push((BudgetScope::UserDay, self.usual.user_day, user_spent));
        scopes.push((BudgetScope::TeamDay, self.usual.team_day, all_spent));
        scopes
    }
}

/// Whether the price of a model is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priced {
    /// It is.
    Known,
    /// It is not.
    Unknown,
}

impl Priced {
    /// With this price.
    pub(crate) fn of(price: &Price) -> Self {
        if price.is_known() { Self::Known } else { Self::Unknown }
    }
}

fn exhausted(scope: BudgetScope, measure: Measure, spent: u64, limit: u64, user: &UserId) -> Exhausted {
    let (spent_words, limit_words) = (measure.words(spent), measure.words(limit));
    let reason = match scope {
        BudgetScope::Session => format!(
            "This session used up its budget: {spent_words} of {limit_words}. An owner of the server can raise it \
             (`hangar budget`); the turn then goes on where it is."
        ),
        BudgetScope::Parent => format!(
            "The session whose agent began this one, or one above that, used up its budget with all that is below it: {spent_words} of \
             {limit_words}. An owner of the server can raise it (`hangar budget`); the turn then goes on where it is."
        ),
        BudgetScope::UserDay => format!(
            "{user} used up today's budget: {spent_words} of {limit_words}. It begins anew at midnight UTC, or an owner of the server \
             raises it in hangar.toml; then continue the turn."
        ),
        BudgetScope::TeamDay => format!(
            "Everybody together used up today's budget: {spent_words} of {limit_words}. It begins anew at midnight UTC, or an owner of \
             the server raises it in hangar.toml; then continue the turn."
        ),
    };
    Exhausted { scope, measure, spent, limit, reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::{super::Member, *};

    const NOON_MS: u64 = 12 * 3600 * 1000;

    fn meter(usual: Budgets) -> Meter {
        let alone: SessionId = "abc123".parse().unwrap();
        let family = Family::new([(alone.clone(), Member::default())].into());
        Meter::new(alone, usual, Arc::default(), Arc::new(family))
    }

    fn calls(most: u64) -> Budget {
        Budget { tool_calls: Some(most), ..Budget::default() }
    }

    #[test]
    fn calls_that_are_on_their_way_count() {
        let usual = Budgets { session: calls(2), ..Budgets::default() };
        let meter = meter(usual);
        let jane: UserId = "jane".parse().unwrap();
        meter.admit_call(&jane, NOON_MS).unwrap();
        meter.admit_call(&jane, NOON_MS).unwrap();
        let refused = meter.admit_call(&jane, NOON_MS).unwrap_err();
        assert_eq!(
            (refused.scope, refused.measure, refused.spent, refused.limit),
            (BudgetScope::Session, Measure::ToolCalls, 2, 2)
        );
        assert!(refused.reason.contains("2 tool calls of 2 tool calls"), "{}", refused.reason);
        meter.turn_begins();
        meter.admit_call(&jane, NOON_MS).unwrap();
    }

    #[test]
    fn money_without_a_price_is_refused_only_where_money_is_limited() {
        let jane: UserId = "jane".parse().unwrap();
        let free = meter(Budgets::default());
        free.admit_request(&jane, Priced::Unknown, NOON_MS).unwrap();
        let money = Budget { cost_micro_usd: Some(1), ..Budget::default() };
        let limited = meter(Budgets { team_day: money, ..Budgets::default() });
        limited.admit_request(&jane, Priced::Known, NOON_MS).unwrap();
        assert_eq!(limited.admit_request(&jane, Priced::Unknown, NOON_MS).unwrap_err().scope, BudgetScope::TeamDay);
    }
}
