//! How many sandboxes are kept ready.

use super::{Shape, keys::section};

section! {
    /// `[pool]`: how many sandboxes are kept ready over the images of busy repositories.
    PoolConfig in "pool" {
        /// At least so many for a repository that was busy lately.
        floor: u32 = 1, Shape::Number("sandboxes");
        /// At most so many for one repository.
        ceiling: u32 = 8, Shape::Number("sandboxes");
        /// Memory that all of them together are expected to use at most.
        memory_mib: u32 = 2048, Shape::Number("MiB");
        /// How long one is kept for somebody who began to type.
        warm_kept_s: u32 = 120, Shape::Number("seconds");
    }
}
