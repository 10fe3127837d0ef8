//! Images as a whole: recipes as tables; builds, catalog and pool over real sandboxes.

mod recipes;
mod recipes_written;
