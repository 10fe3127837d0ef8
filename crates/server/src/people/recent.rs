//! Tokens that were looked up a moment ago, so that a busy client does not ask the database with every request.
//!
//! Taking a token out of use forgets everything here before it is answered. A lookup that began before that does not get in
//! afterwards: it carries the generation in which it began.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Account;

/// Tokens remembered. When there are more, all are forgotten and looked up anew.
const REMEMBERED_MAX: usize = 1_000;
/// How long a token is remembered: its use is written down when it is looked up.
pub(super) const REMEMBERED_MS: u64 = 60_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    generation: Generation,
    /// By the token's hash: whose it is, and until when that is believed.
    accounts: HashMap<[u8; 32], (Account, u64)>,
}

/// Counts how often everything was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Recent {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is one insertion or a clearing: whatever a dead thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token this is, if that was looked up lately; else the generation to give to [`Recent::remember`].
    pub(super) fn find(&self, hashed: &[u8; 32], now_ms: u64) -> Result<Account, Generation> {
        let inner = self.inner();
        match inner.accounts.get(hashed) {
            Some((account, until_ms)) if now_ms < *until_ms => Ok(account.clone()),
            Some(_) | None => Err(inner.generation),
        }
    }

    /// Remembers what a lookup found, unless everything was forgotten since it began.
    pub(super) fn remember(&self, hashed: [u8; 32], account: Account, now_ms: u64, began: Generation) {
        let mut inner = self.inner();
        if inner.generation != began {
            return;
        }
        if inner.accounts.len() >= REMEMBERED_MAX {
            inner.accounts.clear();
        }
        inner.accounts.insert(hashed, (account, now_ms + REMEMBERED_MS));
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        let mut inner = self.inner();
        inner.generation.0 += 1;
        inner.accounts.clear();
    }
}

#[cfg(test)]
mod tests {
    use hangar_protocol::{Person, api::Role};

    use super::*;

    #[test]
    fn a_lookup_from_before_a_token_was_dropped_is_not_believed_after_it() {
        let person = Person { user: "ann".parse().unwrap(), name: "Ann".into(), email: "a@example.com".into() };
        let account = Account { id: 1, person, role: Role::Member };
        let recent = Recent::default();
        let began = recent.find(&[1; 32], 0).unwrap_err();
        recent.forget_all();
        recent.remember([1; 32], account.clone(), 0, began);
        let began = recent.find(&[1; 32], 0).unwrap_err();
        recent.remember([1; 32], account.clone(), 0, began);
        assert_eq!(recent.find(&[1; 32], REMEMBERED_MS - 1), Ok(account));
        assert!(recent.find(&[1; 32], REMEMBERED_MS).is_err());
        recent.forget_all();
        assert!(recent.find(&[1; 32], 0).is_err());
    }
}
