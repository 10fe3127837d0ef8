//! Images as a whole, over real sandboxes.
