//! What a slot needs of the host besides a process: a number with its ids, a control group, a view of the data directory. Made ahead, on a thread of its own, so that
//! the thread that forks slots has nothing else to do.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Inner,
    cgroup::{Entry, Group},
    launcher::Launcher,
    mounts::View,
    rights::Rights,
};
use crate::{error::Error, spec::Limits, steps::Step};

/// See the module's documentation. Dropped from top to bottom: the number goes last, as its group is named after it. Whoever took the number while the
/// group is being removed would lose the group under its hands.
pub(super) struct Berth {
    /// As root.
    pub view: Option<View>,
    /// The way into the group.
    pub entry: Entry,
    pub group: Group,
    pub number: Number,
}

/// The one that waits for the next slot, and the thread that makes them.
pub(super) struct Berths {
    next: Mutex<Option<Berth>>,
    maker: Launcher,
}

impl Berths {
    /// Starts the thread.
    pub(super) async fn start() -> Result<Self, Error> {
        Ok(Self { next: Mutex::default(), maker: Launcher::bare("hangar-berths").await? })
    }

    fn next(&self) -> MutexGuard<'_, Option<Berth>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the one up that waits. The pool is closed, so that none comes after it.
    pub(super) fn close(&self) {
        drop(self.next().take());
    }
}

impl Inner {
    /// The one that waits, or a new one.
    pub(super) async fn berth(self: &Arc<Self>) -> Result<Berth, Error> {
        let ready = self.berths.next().take();
        match ready {
            Some(berth) => Ok(berth),
            None => {
                let inner = Arc::clone(self);
                self.berths.maker.run(move |_| inner.make_berth()).await
            }
        }
    }

    /// Has one made for the next slot, while the one before is getting ready.
    pub(super) fn make_berth_ahead(self: &Arc<Self>) {
        let inner = Arc::downgrade(self);
        self.berths.maker.post(move |_| {
            let Some(inner) = inner.upgrade().filter(|inner| inner.berths.next().is_none()) else { return };
            match inner.make_berth() {
                Ok(berth) => {
                    let mut next = inner.berths.next();
                    if !inner.pool.is_closed() {
                        *next = Some(berth);
                    }
                }
                Err(error) => tracing::warn!(%error, "no control group could be made ahead"),
            }
        });
    }

    fn make_berth(&self) -> Result<Berth, Error> {
        let number = self.numbers.take();
        let group = self.cgroups.create(&number.value().to_string(), &Limits::default())?;
        Step::SlotGroupMade.done();
        let map = match self.rights {
            Rights::Root => Some(self.maps.of(number.value())?),
            Rights::Rootless => None,
        };
        Step::SlotRangeMapped.done();
        let view = map.map(|map| View::new(&self.data_dir, map)).transpose()?;
        Step::SlotViewed.done();
        Ok(Berth { view, entry: group.entry()?, group, number })
    }
}

/// Numbers of slots, each with its id range. Given out lowest first and taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    taken: Arc<Mutex<BTreeSet<usize>>>,
}

/// A number that is given back when dropped.
#[derive(Debug)]
pub(crate) struct Number {
    value: usize,
    numbers: Numbers,
}

impl Number {
    pub(crate) const fn value(&self) -> usize {
        self.value
    }
}

impl Numbers {
    pub(crate) fn take(&self) -> Number {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // There are never more sandboxes than places, so this ends.
        let value = (0..).find(|number| !taken.contains(number)).unwrap_or(0);
        taken.insert(value);
        Number { value, numbers: self.clone() }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.numbers.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
mod tests {
    use super::*;
    use crate::namespace::cgroup::Cgroups;

    /// Whoever waits for the number gets it when nothing named after it is there any more.
    #[test]
    fn a_number_is_free_once_its_group_is_gone() {
        let (cgroups, numbers) = (Cgroups::detect("berth-test"), Numbers::default());
        for _ in 0..50 {
            let number = numbers.take();
            let value = number.value();
            let group = cgroups.create(&value.to_string(), &Limits::default()).unwrap();
            let directories = group.directories().to_vec();
            let berth = Berth { view: None, entry: group.entry().unwrap(), group, number };
            let there = std::thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    while numbers.take().value() != value {}
                    directories.iter().filter(|directory| directory.exists()).count()
                });
                drop(berth);
                waiting.join().unwrap()
            });
            assert_eq!(there, 0);
        }
    }
}
