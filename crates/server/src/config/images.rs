//! How images are built and kept.

use super::{Shape, keys::section};

section! {
    /// `[images]`: how images are built and kept.
    ImagesConfig in "images" {
        /// After so long an image is built anew if the base branch has moved; 0 builds only when somebody asks.
        every_minutes: u32 = 30, Shape::Number("minutes");
        /// Builds at the same time.
        builds_max: u32 = 2, Shape::Number("builds");
        /// How long one build may take.
        build_minutes_max: u32 = 120, Shape::Number("minutes");
        /// An image that a newer one has replaced stays so long after its last use.
        replaced_hours: u32 = 1, Shape::Number("hours");
        /// Images and layers together should take no more; replaced ones go first.
        disk_gib: u32 = 100, Shape::Number("GiB");
        /// A clone that was made for sessions without an image stays so long after its last use; one that a session stands on stays always.
        clones_hours: u32 = 24, Shape::Number("hours");
        /// So many such clones stay at most that no session stands on; those unused for longest go first.
        clones_max: u32 = 32, Shape::Number("clones");
    }
}
