//! What was refused, for a person to see. The same denial again and again is told rarely, with its number.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::{
    addresses::AddressKind,
    host::Target,
    limits::{DENIALS_EVERY, DENIALS_KEPT_MAX},
    policy::{Phase, Policy},
};

/// Something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Where it was going: a name, or an address if the sandbox used none. Empty where denials of many hosts are counted together.
    pub host: String,
    /// The TCP port; 53 for questions about names.
    pub port: u16,
    /// What was going on in the sandbox.
    pub phase: Phase,
    /// Why.
    pub reason: DenialReason,
    /// How many times since it was last told.
    pub count: u64,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "address")]
pub enum DenialReason {
    /// No rule allows it. The one reason that a person's approval changes ([`crate::Rule::approved`]).
    NotAllowed,
    /// A running connection was ended because the rules changed.
    Revoked,
    /// The name leads to an address that is not of the public internet.
    Address(AddressKind),
    /// The client's first message is not TLS, or is damaged.
    NotTls,
    /// A TLS client gave no name.
    NoServerName,
    /// A TLS client gave another name than the one it looked up.
    OtherServerName,
    /// A TLS client hides the name it wants (encrypted client hello).
    EncryptedHello,
    /// A request's `Host` is another name than the one that was looked up.
    OtherHost,
    /// A request to open a tunnel (`CONNECT`), or one that asks a server to repeat it (`TRACE`).
    Method,
    /// A request that two servers could read differently.
    Ambiguous,
    /// A placeholder was sent to a host that its credential is not for.
    PlaceholderElsewhere,
    /// A placeholder stands where it is not replaced.
    PlaceholderPlace,
    /// A placeholder in a request without TLS.
    PlaceholderWithoutTls,
    /// The sandbox has too many connections open.
    TooManyConnections,
    /// The sandbox asks for names too fast.
    TooManyQuestions,
    /// The sandbox has asked for so many names that no address is left.
    TooManyNames,
}

impl DenialReason {
    /// Whether a person can allow it for the session.
    #[must_use]
    pub fn approvable(self) -> bool {
        self == Self::NotAllowed
    }
}

/// Gathers denials and tells them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Denials {
    shared: Arc<Shared>,
}

struct Shared {
    policy: watch::Receiver<Arc<Policy>>,
    /// When it is full, counts stay here and are told with the next ones: none is lost, and no sandbox can stall the border.
    sender: mpsc::Sender<Denial>,
    counts: Mutex<HashMap<(String, u16, DenialReason), Count>>,
}

struct Count {
    untold: u64,
    told: Option<Instant>,
}

impl Denials {
    pub(crate) fn new(policy: watch::Receiver<Arc<Policy>>, sender: mpsc::Sender<Denial>) -> Self {
        Self { shared: Arc::new(Shared { policy, sender, counts: Mutex::new(HashMap::new()) }) }
    }

    /// Counts one; the first of its kind is told at once.
    pub(crate) fn count(&self, target: &Target, port: u16, reason: DenialReason) {
        self.add(target.to_string(), port, reason);
    }

    /// Counts one that is about no host.
    pub(crate) fn count_unnamed(&self, port: u16, reason: DenialReason) {
        self.add(String::new(), port, reason);
    }

    fn add(&self, host: String, port: u16, reason: DenialReason) {
        // No louder: a sandbox decides how often this happens. What is told is logged by whoever listens.
        tracing::debug!(host, port, ?reason, "a sandbox was refused");
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host, port, reason);
        let key = if counts.contains_key(&key) || counts.len() < DENIALS_KEPT_MAX {
            key
        } else {
            (String::new(), port, reason)
        };
        let count = counts.entry(key.clone()).or_insert(Count { untold: 0, told: None });
        count.untold += 1;
        self.tell(&key, count);
    }

    /// Tells what has waited long enough, and forgets what has not come again. To be called from time to time.
    pub(crate) fn flush(&self) {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in counts.iter_mut() {
            self.tell(key, count);
        }
        counts.retain(|_, count| count.untold > 0 || count.told.is_some_and(|told| told.elapsed() < DENIALS_EVERY));
    }

    fn tell(&self, (host, port, reason): &(String, u16, DenialReason), count: &mut Count) {
        let early = count.told.is_some_and(|told| told.elapsed() < DENIALS_EVERY);
        if early || count.untold == 0 {
            return;
        }
        let phase = self.shared.policy.borrow().phase;
        let denial = Denial { host: host.clone(), port: *port, phase, reason: *reason, count: count.untold };
        if self.shared.sender.try_send(denial).is_ok() {
            *count = Count { untold: 0, told: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostName;

    fn fixture(room: usize) -> (Denials, mpsc::Receiver<Denial>, watch::Sender<Arc<Policy>>) {
        let (policy, receiver) = watch::channel(Arc::new(Policy::closed(Phase::Agent)));
        let (sender, denials) = mpsc::channel(room);
        (Denials::new(receiver, sender), denials, policy)
    }

    fn host(text: &str) -> Target {
        Target::Name(HostName::parse(text).unwrap())
    }

    fn age(denials: &Denials) {
        for count in denials.shared.counts.lock().unwrap().values_mut() {
            count.told = count.told.map(|told| told - DENIALS_EVERY);
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let (denials, mut told, _policy) = fixture(8);
        for _ in 0..1000 {
            denials.count(&host("a.test"), 443, DenialReason::NotAllowed);
        }
        denials.count(&host("a.test"), 80, DenialReason::NotAllowed);
        denials.flush();
        let counts = |told: &mut mpsc::Receiver<Denial>| -> Vec<(u16, u64)> {
            std::iter::from_fn(|| told.try_recv().ok()).map(|denial| (denial.port, denial.count)).collect()
        };
        assert_eq!(counts(&mut told), [(443, 1), (80, 1)]);
        age(&denials);
        denials.flush();
        assert_eq!(counts(&mut told), [(443, 999)]);
        age(&denials);
        denials.flush();
        assert_eq!(counts(&mut told), []);
        assert!(denials.shared.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_reader_who_is_away_loses_no_count() {
        let (denials, mut told, _policy) = fixture(1);
        for _ in 0..5 {
            denials.count(&host("a.test"), 443, DenialReason::NotAllowed);
            denials.count(&host("b.test"), 443, DenialReason::NotAllowed);
        }
        assert_eq!(told.try_recv().unwrap().host, "a.test");
        denials.flush();
        assert_eq!(told.try_recv().unwrap().count, 5);
    }

    #[test]
    fn many_hosts_are_counted_together() {
        let (denials, mut told, _policy) = fixture(2 * DENIALS_KEPT_MAX);
        for number in 0..DENIALS_KEPT_MAX + 50 {
            denials.count(&host(&format!("n{number}.test")), 443, DenialReason::NotAllowed);
        }
        age(&denials);
        denials.flush();
        let all: Vec<Denial> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(all.len(), DENIALS_KEPT_MAX + 2);
        assert_eq!(all.iter().map(|denial| denial.count).sum::<u64>(), DENIALS_KEPT_MAX as u64 + 50);
        assert!(denials.shared.counts.lock().unwrap().len() <= DENIALS_KEPT_MAX + 1);
    }
}
