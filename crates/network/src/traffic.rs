//! One connection of a sandbox, and what all connections of it share.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authority::Authority,
    denials::{DenialReason, Denials},
    host::Target,
    inner::Inner,
    names::Names,
    outside::{DialError, Outside},
    policy::{Policy, Treatment, Verdict},
    words::Words,
};

/// What all connections of one sandbox share.
pub(crate) struct Shared {
    pub(crate) outside: Outside,
    pub(crate) authority: Authority,
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
    pub(crate) denials: Denials,
    pub(crate) inner: Inner,
    pub(crate) names: Mutex<Names>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
}

/// A connection that the sandbox made.
pub(crate) struct Crossing {
    pub(crate) shared: Arc<Shared>,
    /// Where it goes.
    pub(crate) target: Target,
    /// At which port.
    pub(crate) port: u16,
    _place: OwnedSemaphorePermit,
}

impl Shared {
    /// What the address that a connection was made to means.
    pub(crate) fn target(&self, address: IpAddr) -> Target {
        let address = address.to_canonical();
        let name = self.names.lock().unwrap_or_else(PoisonError::into_inner).name(address);
        name.map_or(Target::Address(address), Target::Name)
    }
}

impl Crossing {
    pub(crate) fn new(shared: Arc<Shared>, target: Target, port: u16, place: OwnedSemaphorePermit) -> Self {
        Self { shared, target, port, _place: place }
    }

    /// What holds now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.policy.borrow())
    }

    /// Whether it may go on now.
    pub(crate) fn verdict(&self) -> Verdict {
        self.policy().verdict(&self.target, self.port)
    }

    /// Whether it is to a host and port that a credential is for, so that TLS is spoken whatever the port.
    pub(crate) fn injects(&self) -> bool {
        self.verdict() == Verdict::Allowed(Treatment::Inspect)
    }

    /// Counts a denial and gives the words for it.
    pub(crate) fn refuse(&self, reason: DenialReason) -> Words {
        self.shared.denials.count(&self.target, self.port, reason);
        Words::refused(&self.target, self.port, reason)
    }

    /// Connects to where it goes, or says why not.
    pub(crate) async fn dial(&self) -> Result<TcpStream, Words> {
        let policy = self.policy();
        self.shared.outside.dial(&policy, &self.target, self.port).await.map_err(|error| self.failed(&error))
    }

    /// The words for a connection that was not made; a refused address is counted.
    pub(crate) fn failed(&self, error: &DialError) -> Words {
        tracing::debug!(target = %self.target, port = self.port, ?error, "no connection");
        if let DialError::Forbidden(kind) = error {
            self.shared.denials.count(&self.target, self.port, DenialReason::Address(*kind));
        }
        Words::no_connection(&self.target, self.port, error)
    }

    /// Resolves when the rules have come to allow this connection and then no longer do, or the sandbox ends.
    pub(crate) async fn allowed_and_revoked(&self) {
        let mut policy = self.shared.policy.clone();
        while self.verdict() == Verdict::Denied {
            tokio::select! {
                changed = policy.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = self.shared.closing.cancelled() => return,
            }
        }
        self.revoked().await;
    }

    /// Resolves when the rules no longer allow this connection, or the sandbox ends.
    pub(crate) async fn revoked(&self) {
        let mut policy = self.shared.policy.clone();
        let changed = async {
            loop {
                if self.verdict() == Verdict::Denied {
                    self.shared.denials.count(&self.target, self.port, DenialReason::Revoked);
                    return;
                }
                if policy.changed().await.is_err() {
                    // Nobody can change the rules any more: they stay as they are.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = self.shared.closing.cancelled() => {}
            () = changed => {}
        }
    }
}
