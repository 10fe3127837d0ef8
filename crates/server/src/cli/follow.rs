//! Following a session until what one came for has happened, and speaking to it meanwhile.

use std::{collections::BTreeSet, future::pending, time::Duration};

use hangar_client::{Client, Patience, Update};
use hangar_protocol::{
    Event, EventBody, PromptId, Seq, SessionId, TurnId,
    api::{PromptMode, StopTurn},
    command::AfterStop,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    ended::{Ended, Failure, Outcome},
    keyboard::{Keyboard, Typed},
    terminal::{Look, Terminal},
    timeline::{Timeline, timeline},
};

/// How often spinners turn.
const TICK: Duration = Duration::from_millis(100);
/// How often others are told that something is being typed; it holds for 5 seconds.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// When following ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Never: only by leaving.
    Left,
    /// Nothing runs and nothing waits.
    Idle,
    /// These prompts, and those typed meanwhile, are worked on or taken back.
    Settled(BTreeSet<PromptId>),
}

/// A session to follow.
pub(super) struct Follow<'a> {
    pub(super) client: &'a Client,
    pub(super) session: SessionId,
    pub(super) after: Seq,
    pub(super) until: Until,
}

/// Why following ended.
enum End {
    /// What was waited for has happened.
    Reached(Ended),
    /// The person typed `/quit` or Ctrl-D.
    Left,
    /// Ctrl-C, or the terminal went away.
    Interrupted,
}

impl Follow<'_> {
    /// Shows the session until the end that was asked for.
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let mut timeline = timeline(terminal, self.client.url());
        let keyboard = if terminal.is_watched() { Keyboard::take() } else { None };
        let session = self.session.clone();
        let server = self.client.url().to_owned();
        let mut watch = Watch {
            follow: self,
            keyboard,
            turn_of: None,
            last: Ended::Well,
            paused: false,
            pull_request: None,
            typing_told: None,
        };
        let end = watch.run(timeline.as_mut()).await;
        timeline.finish()?;
        // The keyboard gives the terminal its own ways back before anything else is printed.
        let Watch { keyboard, pull_request, .. } = watch;
        drop(keyboard);
        match end? {
            End::Reached(ended) => {
                let next = match pull_request {
                    Some(number) => format!("pull request #{number}: `hangar pr {session}`"),
                    None => format!("`hangar diff {session}` · `hangar pr {session}`"),
                };
                terminal.remark(Look::Faint, &format!("{next} · {server}/s/{session}"));
                Ok(ended)
            }
            End::Left => {
                terminal.remark(Look::Faint, &goes_on(&session));
                Ok(Ended::Well)
            }
            End::Interrupted => {
                terminal.remark(Look::Faint, &goes_on(&session));
                Ok(Ended::Interrupted)
            }
        }
    }
}

fn goes_on(session: &SessionId) -> String {
    format!(
        "You left; the session goes on. Come back: `hangar attach {session}` · end the turn: `hangar stop {session}`"
    )
}

struct Watch<'a> {
    follow: Follow<'a>,
    keyboard: Option<Keyboard>,
    /// The running turn and its prompt.
    turn_of: Option<(TurnId, PromptId)>,
    /// How the last turn ended.
    last: Ended,
    /// Whether the queue waits for somebody to let it go on.
    paused: bool,
    /// The newest pull request's number.
    pull_request: Option<u32>,
    /// When the others were last told that something is being typed.
    typing_told: Option<Instant>,
}

impl Watch<'_> {
    async fn run(&mut self, timeline: &mut (dyn Timeline + Send)) -> Result<End, Failure> {
        let (client, session) = (self.follow.client, self.follow.session.clone());
        // Only a person at a terminal is somebody whom others should know to be here.
        let mut stream = match &self.keyboard {
            Some(_) => client.attend(&session, self.follow.after, Patience::default()),
            None => client.follow(&session, self.follow.after, Patience::default()),
        };
        let me = match &self.keyboard {
            Some(_) => Some(client.me().await?.person.user),
            None => None,
        };
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if self.keyboard.is_some() {
            timeline.typed("");
        }
        loop {
            tokio::select! {
                update = stream.next() => match update {
                    Some(Ok(Update::Typing { user, .. })) if me.as_ref() == Some(&user) => {}
                    Some(Ok(update)) => {
                        timeline.show(&update)?;
                        if let Some(ended) = self.reached(&update).await? {
                            return Ok(End::Reached(ended));
                        }
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(End::Interrupted),
                },
                typed = keys(&mut self.keyboard) => {
                    for typed in typed {
                        if self.typed(typed, timeline).await {
                            return Ok(End::Left);
                        }
                    }
                }
                _ = ticks.tick() => timeline.tick(),
                () = any(&mut interrupt, &mut terminate, &mut hang_up) => return Ok(End::Interrupted),
            }
        }
    }

    /// Whether what was waited for has happened, and how it ended.
    async fn reached(&mut self, update: &Update) -> Result<Option<Ended>, Failure> {
        let (settled, may_rest) = match update {
            Update::Event(event) => (self.note(event), rests(event)),
            Update::CaughtUp { .. } => (None, true),
            Update::Text { .. }
            | Update::TextReset { .. }
            | Update::ToolOutput { .. }
            | Update::Presence { .. }
            | Update::Typing { .. }
            | Update::Interrupted { .. }
            | Update::Resumed => return Ok(None),
        };
        match &mut self.follow.until {
            Until::Left => Ok(None),
            // Who can type can wait for the budget; a script cannot.
            Until::Settled(_) if pauses(update) && self.keyboard.is_none() => self.paused().await,
            Until::Settled(prompts) => {
                let Some(prompt) = settled else { return Ok(None) };
                prompts.remove(&prompt);
                // What waits in a paused queue waits for a person.
                let rests = prompts.is_empty() || (self.paused && self.turn_of.is_none());
                Ok(rests.then_some(self.last))
            }
            Until::Idle if may_rest => self.at_rest().await,
            Until::Idle => Ok(None),
        }
    }

    /// Takes note of an event; gives back the prompt that it settles.
    fn note(&mut self, event: &Event) -> Option<PromptId> {
        match &event.body {
            EventBody::TurnStarted { turn, prompt } => self.turn_of = Some((*turn, *prompt)),
            EventBody::QueuePaused { .. } => self.paused = true,
            EventBody::QueueResumed { .. } => self.paused = false,
            EventBody::PullRequestOpened { number, .. } => self.pull_request = Some(*number),
            // What was said to a running turn is answered in it.
            EventBody::PromptCancelled { prompt, .. } | EventBody::PromptSteered { prompt, .. } => {
                return Some(*prompt);
            }
            EventBody::TurnEnded { turn, outcome } => {
                self.last = Ended::from(outcome);
                return self.turn_of.take().filter(|(running, _)| running == turn).map(|(_, prompt)| prompt);
            }
            _ => {}
        }
        None
    }

    /// Lets the others know that something is being typed, once in a while. Nobody waits for it, and nothing is lost with it.
    fn say_typing(&mut self) {
        let line = self.keyboard.as_ref().map_or("", Keyboard::line);
        let told = self.typing_told.is_some_and(|told| told.elapsed() < TYPING_EVERY);
        if line.is_empty() || line.starts_with('/') || told {
            return;
        }
        self.typing_told = Some(Instant::now());
        let (client, session) = (self.follow.client.clone(), self.follow.session.clone());
        tokio::spawn(async move {
            let _ = client.typing(&session).await;
        });
    }

    /// Asks the server whether a turn waits for its budget. A history that is being replayed cannot say.
    async fn paused(&self) -> Result<Option<Ended>, Failure> {
        let state = self.follow.client.session(&self.follow.session).await?;
        let waits = state.open_turn().is_some_and(|turn| turn.paused.is_some());
        Ok(waits.then_some(Ended::TurnPaused))
    }

    /// Asks the server whether anything runs or waits. A history that is being replayed cannot say.
    async fn at_rest(&self) -> Result<Option<Ended>, Failure> {
        let state = self.follow.client.session(&self.follow.session).await?;
        if state.open_turn().is_some_and(|turn| turn.paused.is_some()) {
            return Ok(Some(Ended::TurnPaused));
        }
        // What waits in a paused queue waits for a person.
        let goes_on = state.queue_paused_by.is_none() && state.queue().next().is_some();
        if state.open_turn().is_some() || goes_on {
            return Ok(None);
        }
        let outcome = state.turns.last().and_then(|turn| turn.outcome.as_ref());
        Ok(Some(outcome.map_or(Ended::Well, Ended::from)))
    }

    /// Carries out what was typed; `true` when the person leaves.
    async fn typed(&mut self, typed: Typed, timeline: &mut (dyn Timeline + Send)) -> bool {
        let (line, mode) = match typed {
            Typed::Leave => return true,
            Typed::More => (None, PromptMode::Queue),
            Typed::Line(line) => (Some(line), PromptMode::Queue),
            Typed::Steer(line) => (Some(line), PromptMode::Steer),
        };
        timeline.typed(self.keyboard.as_ref().map_or("", Keyboard::line));
        match line.as_deref().map(str::trim) {
            None => self.say_typing(),
            Some("") => {}
            Some("/quit" | "/q") => return true,
            Some("/stop") => self.stop(AfterStop::Drain, timeline).await,
            Some("/pause") => self.stop(AfterStop::Pause, timeline).await,
            Some("/resume") => {
                if let Err(error) = self.follow.client.resume(&self.follow.session).await {
                    timeline.remark(Look::Notice, &error.to_string());
                }
            }
            Some(command) if command.starts_with('/') && !command.contains(' ') => {
                timeline.remark(
                    Look::Notice,
                    &format!("There is no {command}. Type /stop, /pause, /resume, /steer WORDS, /quit, or words for the agent."),
                );
            }
            Some(words) => match words.strip_prefix("/steer ") {
                Some(words) => self.say(words, PromptMode::Steer, timeline).await,
                None => self.say(words, mode, timeline).await,
            },
        }
        false
    }

    async fn say(&mut self, words: &str, mode: PromptMode, timeline: &mut (dyn Timeline + Send)) {
        match self.follow.client.say(&self.follow.session, words, mode).await {
            Ok(accepted) => {
                if let Until::Settled(prompts) = &mut self.follow.until {
                    prompts.insert(accepted.prompt);
                }
            }
            Err(error) => timeline.remark(Look::Notice, &error.to_string()),
        }
    }

    async fn stop(&self, then: AfterStop, timeline: &mut (dyn Timeline + Send)) {
        let stop = StopTurn { then, ..StopTurn::default() };
        if let Err(error) = self.follow.client.stop_turn(&self.follow.session, &stop).await {
            timeline.remark(Look::Notice, &error.to_string());
        }
    }
}

/// After this event it is worth asking whether the session rests.
fn rests(event: &Event) -> bool {
    matches!(event.body, EventBody::TurnEnded { .. } | EventBody::TurnPaused { .. } | EventBody::PromptCancelled { .. })
}

/// A turn waits from here on, or did.
fn pauses(update: &Update) -> bool {
    matches!(update, Update::Event(event) if matches!(event.body, EventBody::TurnPaused { .. }))
}

async fn keys(keyboard: &mut Option<Keyboard>) -> Vec<Typed> {
    match keyboard {
        Some(keyboard) => keyboard.next().await,
        None => pending().await,
    }
}

async fn any(interrupt: &mut Signal, terminate: &mut Signal, hang_up: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
