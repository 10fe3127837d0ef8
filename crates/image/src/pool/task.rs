//! The one task of the pool: which sandboxes there are, for whom, and which are made next.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    At, Hit, PoolConfig, PoolCounts, PoolError,
    demand::Recent,
    prepared::{Begin, Preparer, Warm},
    size::{Demand, PoolLimits, sizes},
};
use crate::{
    image::{Image, ImageId, Target},
    images::Changes,
};

/// Sandboxes that are made ahead of need at once; those that somebody waits for do not count.
const AHEAD_AT_ONCE: usize = 2;
/// After one could not be made ahead of need.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// At least so often everything is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long making one is taken to last before it was measured, in milliseconds.
const REFILL_MS_FIRST: u64 = 2_000;

/// What the task is asked for.
pub(super) enum Ask {
    Warm { target: Target, who: String, answer: oneshot::Sender<bool> },
    Take { target: Target, who: String, at: At, arrival: Arrival, answer: oneshot::Sender<Given> },
    Waited { target: Target, waited: Duration, hit: Hit },
    Close(oneshot::Sender<()>),
}

/// Whether whoever takes a sandbox waits for its commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// They do.
    Brought,
    /// They want it now, and bring them themselves.
    AsItIs,
}

/// What comes of [`Ask::Take`].
pub(super) enum Given {
    Warm(Box<Warm>, Hit),
    NoImage,
    Failed(PoolError),
}

/// One sandbox of the pool.
struct Entry {
    number: u64,
    target: Target,
    image: ImageId,
    state: State,
    reserved: Option<Reserved>,
    made: Instant,
}

enum State {
    /// Being made or brought up to date; these wait for it.
    Preparing(VecDeque<Claim>),
    Ready(Box<Warm>),
}

struct Reserved {
    who: String,
    since: Instant,
    until: Instant,
}

struct Claim {
    answer: oneshot::Sender<Given>,
    hit: Hit,
}

/// What is known of a repository.
#[derive(Default)]
struct Known {
    recent: Recent,
    hits: u64,
    misses: u64,
    abandoned: u64,
    wanted: u32,
    refill_ms: Option<u64>,
    retry_at: Option<Instant>,
}

struct Done {
    number: u64,
    result: Result<Warm, PoolError>,
}

pub(super) struct Task {
    config: PoolConfig,
    preparer: Arc<Preparer>,
    inbox: mpsc::Receiver<Ask>,
    publish: watch::Sender<Vec<PoolCounts>>,
    changes: Changes,
    newest: BTreeMap<Target, Arc<Image>>,
    entries: Vec<Entry>,
    known: BTreeMap<Target, Known>,
    preparing: JoinSet<Done>,
    ending: JoinSet<()>,
    next: u64,
    /// Tells the directories of this life of hangar from those of earlier ones, which sessions may have kept.
    life: String,
}

impl Task {
    pub(super) fn new(
        config: PoolConfig,
        preparer: Arc<Preparer>,
        inbox: mpsc::Receiver<Ask>,
        publish: watch::Sender<Vec<PoolCounts>>,
    ) -> Self {
        let mut changes = preparer.images.changes();
        let newest = changes.newest();
        Self {
            config,
            preparer,
            inbox,
            publish,
            changes,
            newest,
            entries: Vec::new(),
            known: BTreeMap::new(),
            preparing: JoinSet::new(),
            ending: JoinSet::new(),
            next: 0,
            life: format!("{:x}", crate::build::now_ms()),
        }
    }

    pub(super) async fn run(mut self) {
        let mut images_end = false;
        loop {
            self.settle();
            self.tell();
            let look =
                self.entries.iter().filter_map(|entry| entry.reserved.as_ref().map(|reserved| reserved.until)).min();
            let look = look.unwrap_or_else(|| Instant::now() + LOOK_EVERY).min(Instant::now() + LOOK_EVERY);
            tokio::select! {
                ask = self.inbox.recv() => match ask {
                    Some(Ask::Close(answer)) => {
                        self.end().await;
                        let _ = answer.send(());
                        return;
                    }
                    Some(ask) => self.answer(ask),
                    None => return self.end().await,
                },
                Some(Ok(done)) = self.preparing.join_next() => self.done(done),
                Some(_) = self.ending.join_next() => {}
                more = self.changes.next(), if !images_end => {
                    images_end = !more;
                    self.newest = self.changes.newest();
                }
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Warm { target, who, answer } => {
                let ready = self.warm(target, who);
                let _ = answer.send(ready);
            }
            Ask::Take { target, who, at, arrival, answer } => self.take(&target, &who, at, arrival, answer),
            Ask::Waited { target, waited, hit } => self.known.entry(target).or_default().recent.waited(waited, hit),
            // Handled where the loop ends.
            Ask::Close(answer) => drop(answer),
        }
    }

    fn warm(&mut self, target: Target, who: String) -> bool {
        let now = Instant::now();
        let until = now + self.config.warm_kept;
        for entry in self.entries.iter_mut().filter(|entry| entry.target == target) {
            if let Some(reserved) = entry.reserved.as_mut().filter(|reserved| reserved.who == who) {
                reserved.until = until;
                return matches!(&entry.state, State::Ready(warm) if warm.services.are_settled());
            }
        }
        let Some(image) = self.newest.get(&target).cloned() else { return false };
        self.make_room_for(&who);
        let waits = self.waiting(&target, &image.id).is_some();
        if !waits && self.memory_bytes().saturating_add(self.each_bytes(&target)) > self.config.sizes.memory_bytes {
            // Keys of many people must not fill the machine; their sessions get a sandbox when they begin.
            tracing::info!(%target, "no sandbox is made for whoever types: those there are use the memory of the pool");
            return false;
        }
        let reserved = Reserved { who, since: now, until };
        match self.waiting(&target, &image.id) {
            Some(place) => {
                let entry = &mut self.entries[place];
                entry.reserved = Some(reserved);
                let state = std::mem::replace(&mut entry.state, State::Preparing(VecDeque::new()));
                let (number, preparer) = (entry.number, Arc::clone(&self.preparer));
                if let State::Ready(mut warm) = state {
                    self.preparing.spawn(async move {
                        if let Err(error) = preparer.bring(&mut warm, &At::Newest).await {
                            // It is good as it is; whoever takes it brings the commits themselves, or hears why not.
                            tracing::info!(%error, "a waiting sandbox could not be brought to the newest commits");
                        }
                        Done { number, result: Ok(*warm) }
                    });
                }
            }
            None => self.make(image, At::Newest, Begin::Now, Some(reserved), VecDeque::new()),
        }
        false
    }

    /// What one over the newest image is expected to use.
    fn each_bytes(&self, target: &Target) -> u64 {
        expected_bytes(&self.config, self.newest.get(target))
    }

    /// What all there are, and those being made, are expected to use.
    fn memory_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| self.each_bytes(&entry.target)).fold(0, u64::saturating_add)
    }

    /// Somebody who types in many windows keeps the last few.
    fn make_room_for(&mut self, who: &str) {
        let mut theirs: Vec<&mut Reserved> = self
            .entries
            .iter_mut()
            .filter_map(|entry| entry.reserved.as_mut())
            .filter(|reserved| reserved.who == who)
            .collect();
        theirs.sort_by_key(|reserved| reserved.since);
        let over = (theirs.len() + 1).saturating_sub(self.config.warm_max.max(1));
        for reserved in theirs.into_iter().take(over) {
            reserved.until = Instant::now();
        }
        self.expire();
    }

    fn take(&mut self, target: &Target, who: &str, at: At, arrival: Arrival, answer: oneshot::Sender<Given>) {
        let known = self.known.entry(target.clone()).or_default();
        known.recent.asked(Instant::now());
        let Some(image) = self.newest.get(target).cloned() else {
            let _ = answer.send(Given::NoImage);
            return;
        };
        let theirs = self.entries.iter().position(|entry| {
            entry.target == *target && entry.reserved.as_ref().is_some_and(|reserved| reserved.who == who)
        });
        if let Some(place) = theirs {
            known.hits += 1;
            return self.claim(place, Claim { answer, hit: Hit::Warmed });
        }
        if let Some(place) = self.waiting(target, &image.id) {
            self.known.entry(target.clone()).or_default().hits += 1;
            return self.claim(place, Claim { answer, hit: Hit::Waiting });
        }
        self.known.entry(target.clone()).or_default().misses += 1;
        let claim = Claim { answer, hit: Hit::Missed };
        let being_made = self.entries.iter().position(|entry| {
            let free = matches!(&entry.state, State::Preparing(claims) if claims.is_empty());
            free && entry.image == image.id && entry.reserved.is_none()
        });
        match being_made {
            Some(place) => self.claim(place, claim),
            None => {
                let (at, begin) = match arrival {
                    Arrival::Brought => (at, Begin::Now),
                    Arrival::AsItIs if at == At::Commit(image.commit.clone()) => (At::Image, Begin::Now),
                    Arrival::AsItIs => (At::Image, Begin::Later),
                };
                self.make(image, at, begin, None, VecDeque::from([claim]));
            }
        }
    }

    /// One that waits for anybody over this image.
    fn waiting(&self, target: &Target, image: &ImageId) -> Option<usize> {
        self.entries.iter().position(|entry| {
            let ready = matches!(&entry.state, State::Ready(warm) if warm.is_running());
            ready && entry.reserved.is_none() && entry.target == *target && entry.image == *image
        })
    }

    fn claim(&mut self, place: usize, claim: Claim) {
        match &mut self.entries[place].state {
            State::Preparing(claims) => {
                claims.push_back(claim);
                // The next one with the same wish gets another one.
                self.entries[place].reserved = None;
            }
            State::Ready(_) => {
                let mut entry = self.entries.remove(place);
                if let State::Ready(warm) = entry.state {
                    match claim.answer.send(Given::Warm(warm, claim.hit)) {
                        Ok(()) => {}
                        Err(Given::Warm(warm, _)) => {
                            // Whoever asked is gone.
                            entry.state = State::Ready(warm);
                            self.entries.push(entry);
                        }
                        Err(Given::NoImage | Given::Failed(_)) => {}
                    }
                }
            }
        }
    }

    fn make(&mut self, image: Arc<Image>, at: At, begin: Begin, reserved: Option<Reserved>, claims: VecDeque<Claim>) {
        self.next += 1;
        let (number, preparer) = (self.next, Arc::clone(&self.preparer));
        let entry = Entry {
            number,
            target: image.target.clone(),
            image: image.id.clone(),
            state: State::Preparing(claims),
            reserved,
            made: Instant::now(),
        };
        self.entries.push(entry);
        let name = format!("pool-{}-{number}", self.life);
        self.preparing.spawn(async move { Done { number, result: preparer.prepare(image, name, &at, begin).await } });
    }

    fn done(&mut self, Done { number, result }: Done) {
        let Some(place) = self.entries.iter().position(|entry| entry.number == number) else {
            self.dispose(result.ok());
            return;
        };
        let mut entry = self.entries.remove(place);
        let State::Preparing(mut claims) = std::mem::replace(&mut entry.state, State::Preparing(VecDeque::new()))
        else {
            return;
        };
        let known = self.known.entry(entry.target.clone()).or_default();
        let mut warm = match result {
            Ok(warm) => {
                let took = warm.prepared.create + warm.prepared.sync;
                known.refill_ms = Some(crate::build::millis(took));
                known.retry_at = None;
                Box::new(warm)
            }
            Err(error) => {
                tracing::warn!(target = %entry.target, %error, "a sandbox could not be made ahead of need");
                known.retry_at = Some(Instant::now() + RETRY_AFTER);
                let mut error = Some(error);
                while let Some(claim) = claims.pop_front() {
                    let error = error.take().unwrap_or(PoolError::Closed);
                    let _ = claim.answer.send(Given::Failed(error));
                }
                return;
            }
        };
        while let Some(claim) = claims.pop_front() {
            match claim.answer.send(Given::Warm(warm, claim.hit)) {
                Ok(()) => return,
                Err(Given::Warm(back, _)) => warm = back,
                Err(Given::NoImage | Given::Failed(_)) => return,
            }
        }
        // Whoever wanted it is gone: it is for anybody now.
        warm.begin();
        entry.state = State::Ready(warm);
        self.entries.push(entry);
    }

    /// Gives back what was kept in vain.
    fn expire(&mut self) {
        let now = Instant::now();
        for entry in &mut self.entries {
            if entry.reserved.as_ref().is_some_and(|reserved| reserved.until <= now) {
                entry.reserved = None;
                self.known.entry(entry.target.clone()).or_default().abandoned += 1;
            }
        }
    }

    /// Ends what is over and makes what is missing.
    fn settle(&mut self) {
        self.expire();
        let now = Instant::now();
        self.want(now);
        let mut free: BTreeMap<Target, u32> = BTreeMap::new();
        let mut kept = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let newest = self.newest.get(&entry.target).is_some_and(|image| image.id == entry.image);
            match &entry.state {
                State::Ready(warm) => {
                    let wanted = self.known.get(&entry.target).map_or(0, |known| known.wanted);
                    let free = free.entry(entry.target.clone()).or_default();
                    let stays = warm.is_running()
                        && (entry.reserved.is_some()
                            || newest && *free < wanted && now.duration_since(entry.made) < self.config.age_max);
                    if stays && entry.reserved.is_none() {
                        *free += 1;
                    }
                    if !stays {
                        if let State::Ready(warm) = entry.state {
                            self.dispose(Some(*warm));
                        }
                        continue;
                    }
                }
                State::Preparing(claims) => {
                    if newest && entry.reserved.is_none() && claims.is_empty() {
                        *free.entry(entry.target.clone()).or_default() += 1;
                    }
                }
            }
            kept.push(entry);
        }
        self.entries = kept;
        self.refill(&free, now);
    }

    fn refill(&mut self, free: &BTreeMap<Target, u32>, now: Instant) {
        let ahead = |entries: &[Entry]| {
            entries.iter().filter(|entry| matches!(&entry.state, State::Preparing(claims) if claims.is_empty())).count()
        };
        let missing: Vec<(Arc<Image>, u32)> = self
            .known
            .iter()
            .filter(|(_, known)| known.retry_at.is_none_or(|at| at <= now))
            .filter_map(|(target, known)| {
                let missing = known.wanted.saturating_sub(free.get(target).copied().unwrap_or_default());
                Some((Arc::clone(self.newest.get(target)?), missing))
            })
            .collect();
        for (image, missing) in missing {
            for _ in 0..missing {
                if ahead(&self.entries) >= AHEAD_AT_ONCE {
                    return;
                }
                self.make(Arc::clone(&image), At::Image, Begin::Now, None, VecDeque::new());
            }
        }
    }

    /// Asks how many there should be.
    fn want(&mut self, now: Instant) {
        let mut demands = Vec::with_capacity(self.known.len());
        for (target, known) in &mut self.known {
            let (taken, burst) = known.recent.counted(now);
            let each_bytes = expected_bytes(&self.config, self.newest.get(target));
            demands.push(Demand { taken, burst, refill_ms: known.refill_ms.unwrap_or(REFILL_MS_FIRST), each_bytes });
        }
        // Those that are kept for who types are there already.
        let reserved = self.entries.iter().filter(|entry| entry.reserved.is_some());
        let reserved = reserved.map(|entry| self.each_bytes(&entry.target)).fold(0, u64::saturating_add);
        let limits =
            PoolLimits { memory_bytes: self.config.sizes.memory_bytes.saturating_sub(reserved), ..self.config.sizes };
        let wanted = sizes(&demands, &limits);
        self.known.values_mut().zip(wanted).for_each(|(known, wanted)| known.wanted = wanted);
    }

    fn dispose(&mut self, warm: Option<Warm>) {
        if let Some(warm) = warm {
            self.ending.spawn(warm.end());
        }
    }

    fn tell(&self) {
        let counts: Vec<PoolCounts> = self.known.iter().map(|(target, known)| self.counted(target, known)).collect();
        self.publish.send_if_modified(|before| {
            let changed = *before != counts;
            *before = counts;
            changed
        });
    }

    fn counted(&self, target: &Target, known: &Known) -> PoolCounts {
        let (mut ready, mut reserved, mut preparing) = (0, 0, 0);
        for entry in self.entries.iter().filter(|entry| entry.target == *target) {
            match (&entry.state, &entry.reserved) {
                (State::Preparing(_), _) => preparing += 1,
                (State::Ready(_), Some(_)) => reserved += 1,
                (State::Ready(_), None) => ready += 1,
            }
        }
        let (hit_wait_p50, miss_wait_p50) = known.recent.wait_p50();
        let memory_bytes = u64::from(ready + reserved + preparing).saturating_mul(self.each_bytes(target));
        PoolCounts {
            target: target.clone(),
            ready,
            reserved,
            preparing,
            wanted: known.wanted,
            hits: known.hits,
            misses: known.misses,
            hit_wait_p50,
            miss_wait_p50,
            memory_bytes,
            abandoned: known.abandoned,
        }
    }

    async fn end(&mut self) {
        // Those being made are awaited, so that nothing of them is left.
        while let Some(done) = self.preparing.join_next().await {
            if let Ok(Done { result: Ok(warm), .. }) = done {
                self.dispose(Some(warm));
            }
        }
        for entry in std::mem::take(&mut self.entries) {
            if let State::Ready(warm) = entry.state {
                self.dispose(Some(*warm));
            }
        }
        while self.ending.join_next().await.is_some() {}
    }
}

/// What a sandbox over this image is expected to use while it waits.
fn expected_bytes(config: &PoolConfig, image: Option<&Arc<Image>>) -> u64 {
    let serving = image.is_some_and(|image| !image.recipe.services.is_empty() || !image.recipe.start.is_empty());
    if serving { config.serving_bytes } else { config.each_bytes }
}
