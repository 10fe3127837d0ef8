//! Sessions that the agent of a session begins: when it may, how they begin, what is heard of them, and how a stop reaches them.
//!
//! ```text
//!   session of a person ──spawn──▶ child ──spawn──▶ child of a child ──spawn──▶ refused
//!          ▲                        │ ▲                  │
//!          └──── child_reported ────┘ └─ child_reported ─┘          stop ──▶ goes down, unless the person says `alone`
//! ```

use hangar_protocol::{
    Budget, Cause, ChildPhase, ChildState, EventBody, Parent, Person, Refusal, RefusalCode, Seq, SessionRole,
    SessionState, Spent, UserId,
    api::RepoTarget,
    budget::{BudgetScope, Measure},
    command::Reach,
    event::TurnOutcome,
    limits::{self, CHILD_WORDS_BYTES_MAX, CHILDREN_AT_ONCE_MAX, CHILDREN_DEPTH_MAX, DESCENDANTS_MAX, clip_bytes},
};

use super::{Decision, Effect, begin, budget::continued, report::close_turn, who_may::check_role};

/// What a child begins with besides its repository and prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Birth {
    /// The call that begins it.
    pub parent: Parent,
    /// Who else has a role in the session that it is begun by; they have the same in the child.
    pub members: Vec<(Person, SessionRole)>,
    /// What it may use up, as far as that is limited.
    pub share: Budget,
}

/// The first events of a session that another one's agent begins in the name of `by`, who owns it.
///
/// # Errors
/// A refusal when the title is not usable.
pub fn begin_child(target: RepoTarget, by: Person, birth: Birth) -> Result<Vec<(Cause, EventBody)>, Refusal> {
    let cause = Cause::User { user: by.user.clone() };
    let Birth { parent: Parent { session: parent, turn, call, depth, files }, members, share } = birth;
    let mut bodies = vec![EventBody::ChildOf { parent, turn, call, depth, files }];
    let others = members.into_iter().filter(|(person, _)| person.user != by.user);
    bodies.extend(others.map(|(person, role)| EventBody::MemberAdded { person, role, invitation: None }));
    if share != Budget::default() {
        bodies.push(EventBody::BudgetChanged { budget: share });
    }
    let mut events = begin(target, by)?;
    events.extend(bodies.into_iter().map(|body| (cause.clone(), body)));
    Ok(events)
}

/// Refuses what an agent may not begin in the name of this person.
///
/// # Errors
/// Words for the model.
pub fn check_spawn(state: &SessionState, by: &UserId) -> Result<(), Refusal> {
    check_role(state, by, SessionRole::Prompter)?;
    if state.depth() >= CHILDREN_DEPTH_MAX {
        return Err(Refusal::new(
            RefusalCode::TooMany,
            format!("This session is {CHILDREN_DEPTH_MAX} levels below one that a person began, and begins no others."),
            "Do the work here, or say in your last words what is left: the session above reads them.",
        ));
    }
    check_room_at_work(state)
}

/// Refuses one more that works.
pub(crate) fn check_room_at_work(state: &SessionState) -> Result<(), Refusal> {
    if state.children_at_work().count() < CHILDREN_AT_ONCE_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::TooMany,
        format!("{CHILDREN_AT_ONCE_MAX} sessions that this one began are at work."),
        "wait_sessions until one has ended, then try again.",
    ))
}

/// What is said where a family is as large as it may be.
pub(crate) fn family_is_full() -> Refusal {
    Refusal::new(
        RefusalCode::TooMany,
        format!("{DESCENDANTS_MAX} sessions were begun below the one that a person began, which is all there may be."),
        "message_session gives one that has ended more to do; else do the work here.",
    )
}

/// `percent` of what is left of a budget, in each measure that it limits.
///
/// # Errors
/// Words for the model where nothing is left of one.
pub fn share_of(budget: Budget, spent: Spent, percent: u32) -> Result<Budget, Refusal> {
    let part = |measure: Measure, limit: Option<u64>, spent: u64| {
        let Some(limit) = limit else { return Ok(None) };
        let left = u128::from(limit.saturating_sub(spent)) * u128::from(percent.min(100)) / 100;
        match u64::try_from(left).unwrap_or(u64::MAX) {
            0 => Err(nothing_left(measure, limit, spent)),
            part => Ok(Some(part)),
        }
    };
    Ok(Budget {
        cost_micro_usd: part(Measure::Cost, budget.cost_micro_usd, spent.cost_micro_usd)?,
        tokens: part(Measure::Tokens, budget.tokens, spent.tokens)?,
        time_ms: part(Measure::Time, budget.time_ms, spent.time_ms)?,
        tool_calls: part(Measure::ToolCalls, budget.tool_calls, spent.tool_calls)?,
    })
}

fn nothing_left(measure: Measure, limit: u64, spent: u64) -> Refusal {
    Refusal::new(
        RefusalCode::TooMany,
        format!(
            "Too little is left of this session's budget for another session: {} of {} are used up.",
            measure.words(spent),
            measure.words(limit)
        ),
        "Give it a larger share, or do the work here.",
    )
}

/// A child is there, or is further than it was. The parent may hear of it for the first time by this: the child's own log is what counts.
pub(super) fn heard(state: &SessionState, news: ChildState) -> Decision {
    let mut decision = Decision::default();
    let known = match state.child(&news.session) {
        Some(known) => known.clone(),
        None if state.children.len() >= limits::DESCENDANTS_MAX => return decision,
        None => {
            decision.events.push((Cause::Turn { turn: news.turn }, spawned(&news)));
            decision.effects.extend(stopped_before(state, &news));
            unheard(&news)
        }
    };
    if news.is_news_to(&known) {
        let ChildState { session: child, phase, words, pull_request, spent, as_of, .. } = news;
        let words = clip_bytes(&words, CHILD_WORDS_BYTES_MAX).to_owned();
        let told = EventBody::ChildReported { child, phase, words, pull_request, spent, as_of };
        decision.events.push((Cause::System, told));
    }
    decision
}

fn spawned(child: &ChildState) -> EventBody {
    EventBody::ChildSpawned {
        child: child.session.clone(),
        turn: child.turn,
        call: child.call.clone(),
        repo: child.repo.clone(),
        title: child.title.clone(),
        share: child.share,
    }
}

/// A child as it is known when only its beginning is.
fn unheard(child: &ChildState) -> ChildState {
    ChildState {
        phase: ChildPhase::Working,
        words: String::new(),
        pull_request: None,
        spent: Spent::default(),
        as_of: Seq::START,
        stop_requested_by: None,
        ..child.clone()
    }
}

/// A call that was under way when its turn was stopped may have begun a session all the same.
fn stopped_before(state: &SessionState, child: &ChildState) -> Option<Effect> {
    let turn = state.turns.iter().find(|turn| turn.id == child.turn)?;
    let by = turn.stop_requested_by.clone()?;
    Some(Effect::StopChild { child: child.session.clone(), by })
}

/// The stop of those that this session's agent began, as far as it does not know that they have ended. Those that have ended may have begun others.
pub(super) fn stop_below(state: &SessionState, reach: Reach, by: &UserId) -> Vec<Effect> {
    match reach {
        Reach::Alone => Vec::new(),
        Reach::WithChildren => {
            let stop = |child: &ChildState| Effect::StopChild { child: child.session.clone(), by: by.clone() };
            state.children.iter().map(stop).collect()
        }
    }
}

/// Whether a stop has something to reach below this session that no other has reached.
pub(super) fn works_below(state: &SessionState, reach: Reach) -> bool {
    match reach {
        Reach::Alone => false,
        Reach::WithChildren => state.children_at_work().any(|child| child.stop_requested_by.is_none()),
    }
}

/// Stops that were asked for and of which nothing was heard: the server was killed in between.
pub(super) fn stops_owed(state: &SessionState) -> Vec<Effect> {
    let owed = state.children_at_work().filter_map(|child| {
        let by = child.stop_requested_by.clone()?;
        Some(Effect::StopChild { child: child.session.clone(), by })
    });
    owed.collect()
}

/// The session above was stopped, or its agent cancelled this one. It needs no role here: who may stop that one stops what it began. What waits in
/// the queue waits on.
pub(super) fn stopped_from_above(state: &SessionState, by: UserId) -> Decision {
    let cause = Cause::User { user: by.clone() };
    let mut decision = Decision::default();
    let open = state.open_turn().filter(|turn| turn.stop_requested_by.is_none());
    let Some(last) = state.last_turn() else { return decision };
    if open.is_some() || works_below(state, Reach::WithChildren) {
        let stop = EventBody::StopRequested { turn: last.id, by: by.clone(), reach: Reach::WithChildren };
        decision.events.push((cause.clone(), stop));
        decision.effects.extend(stop_below(state, Reach::WithChildren, &by));
    }
    if state.queue_paused_by.is_none() && state.queue().next().is_some() {
        decision.events.push((cause, EventBody::QueuePaused { by: by.clone() }));
    }
    match open {
        None => decision,
        // It waits for a budget: nobody works on it who could end it.
        Some(turn) if turn.paused.is_some() => decision.then(close_turn(state, turn.id, TurnOutcome::Stopped { by })),
        Some(turn) => {
            decision.effects.push(Effect::StopTurn(turn.id));
            decision
        }
    }
}

/// A budget above this session was raised: a turn that waits for it goes on, and asks for it again. So do those below.
pub(super) fn budget_above_raised(state: &SessionState, by: UserId) -> Decision {
    let waits = state.open_turn().filter(|turn| {
        let above = turn.paused.as_ref().is_some_and(|exhausted| exhausted.scope == BudgetScope::Parent);
        above && turn.stop_requested_by.is_none()
    });
    let mut decision = match waits {
        Some(turn) => continued(Cause::User { user: by.clone() }, turn.id),
        None => Decision::default(),
    };
    decision.effects.extend(raised_below(state, &by));
    decision
}

/// Those below that may wait for this session's budget.
pub(super) fn raised_below(state: &SessionState, by: &UserId) -> Vec<Effect> {
    let paused = state.children.iter().filter(|child| !child.phase.is_over());
    paused.map(|child| Effect::RaiseChild { child: child.session.clone(), by: by.clone() }).collect()
}
