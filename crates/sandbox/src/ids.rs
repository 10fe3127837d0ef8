//! Ids of sandboxes on the host and on disk.

use hangar_protocol::guest::AGENT_ID;

use crate::guard::{Guard, stands};

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// What id 0 inside is on the host.
    pub first: u32,
}

impl IdRange {
    /// Ids in a range.
    pub const IDS: u32 = 65_536;
    /// How ids lie on disk, whichever sandbox wrote them. So files fit every later sandbox. Ranges are far above what
    /// distributions give out to users and containers (/etc/subuid starts at 100000, systemd's containers end at 1879048191).
    pub const DISK: Self = Self { first: 2_000_000_000 };

    /// The range of the sandbox with this number, from 0.
    pub(crate) fn of(number: usize) -> Self {
        let number = if stands(Guard::OwnRange) { u32::try_from(number).unwrap_or(0) } else { 0 };
        if !stands(Guard::OwnIds) {
            return Self { first: 100_000 + number * Self::IDS };
        }
        Self { first: Self::DISK.first + (number + 1) * Self::IDS }
    }

    /// The id of the agent.
    #[must_use]
    pub const fn agent(self) -> u32 {
        self.first + AGENT_ID
    }
}
