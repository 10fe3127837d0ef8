//! The thread of one plugin.
//!
//! ```text
//!            ask ──▶ [questions, bounded] ──▶ thread: load if need be ▶ call ──▶ answer
//!                                                        ▲                │
//!                                                        └── thrown away ◀┴── failed
//! ```
//!
//! Why a thread each: a plugin that does not come to its end holds up nobody but those who ask it, and the interpreter never moves
//! between threads. A call is cut off by the interpreter when its time is over; where it cannot look (inside a long piece of
//! its own code), the thread stays busy, and every question meanwhile fails as the plugin is configured.

use std::{
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use hangar_protocol::HookPoint;
use tokio::sync::{mpsc, oneshot};

use crate::{
    engine::{Engine, Fault, Said, Source},
    limits,
};

/// How much longer than a plugin may take to load is waited for its thread to say so.
const LOAD_PATIENCE: Duration = Duration::from_secs(2);

/// A question on its way to the plugin.
struct Question {
    point: HookPoint,
    input: String,
    output: String,
    until: Instant,
    answer: oneshot::Sender<Result<Said, Fault>>,
}

/// Where a plugin is asked. Dropping it ends the thread after the question that it is at.
pub(crate) struct Worker {
    questions: mpsc::Sender<Question>,
    timeout: Duration,
}

impl Worker {
    /// Starts the thread and loads the plugin. Also tells at which points it has hooks.
    ///
    /// # Errors
    /// Why it does not load.
    pub(crate) fn start(source: Source, timeout: Duration) -> Result<(Self, Vec<HookPoint>), String> {
        // Questions that wait when it is full fail: see `ask`.
        let (questions, asked) = mpsc::channel(limits::QUESTIONS_AHEAD);
        let (loaded, is_loaded) = std_mpsc::sync_channel(1);
        thread::Builder::new()
            .name(format!("plugin-{}", source.name))
            .stack_size(limits::THREAD_STACK_BYTES)
            .spawn(move || {
                let engine = Engine::load(&source);
                let points = engine.as_ref().map(Engine::points).map_err(Clone::clone);
                // Whoever started it may have given up.
                let _ = loaded.send(points);
                if let Ok(engine) = engine {
                    work(&source, engine, asked);
                }
            })
            .map_err(|error| format!("no thread can be started for it: {error}"))?;
        let points = is_loaded.recv_timeout(limits::LOAD_DURATION_MAX + LOAD_PATIENCE);
        let points = points
            .map_err(|_| format!("it did not come to its end within {} s", limits::LOAD_DURATION_MAX.as_secs()))??;
        Ok((Self { questions, timeout }, points))
    }

    /// Calls a hook.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn ask(&self, point: HookPoint, input: String, output: String) -> Result<Said, String> {
        let (answer, answered) = oneshot::channel();
        let question = Question { point, input, output, until: Instant::now() + self.timeout, answer };
        self.questions.try_send(question).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                format!("{} questions wait for it already", limits::QUESTIONS_AHEAD)
            }
            mpsc::error::TrySendError::Closed(_) => "its thread has ended".to_owned(),
        })?;
        let said = answered.await.map_err(|_| "its thread has ended".to_owned())?;
        said.map_err(|fault| match fault {
            Fault::Time => format!("it took longer than {} ms", self.timeout.as_millis()),
            Fault::Broken(reason) => reason,
        })
    }
}

fn work(source: &Source, engine: Engine, mut asked: mpsc::Receiver<Question>) {
    let mut ready = Some(engine);
    while let Some(Question { point, input, output, until, answer }) = asked.blocking_recv() {
        let within = until.saturating_duration_since(Instant::now());
        if answer.is_closed() || within.is_zero() {
            // Whoever asked has given up: it was busy with other questions for too long.
            let _ = answer.send(Err(Fault::Time));
            continue;
        }
        let said = match ready.take().map_or_else(|| Engine::load(source), Ok) {
            Ok(engine) => {
                let said = engine.call(point, &input, &output, within);
                if said.is_ok() {
                    ready = Some(engine);
                }
                said
            }
            Err(reason) => Err(Fault::Broken(format!("it failed before and does not load again: {reason}"))),
        };
        // Whoever asked may have given up; that is their business.
        let _ = answer.send(said);
    }
}
