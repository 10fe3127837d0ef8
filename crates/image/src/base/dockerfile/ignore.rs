//! `.dockerignore`: what of the context does not exist for a build.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::base::BaseError;

/// Lines that are heeded.
const LINES_MAX: usize = 10_000;

/// The patterns of a file, in its order: the last that fits counts.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<(Fate, GlobMatcher)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Left,
    Kept,
}

impl Ignore {
    pub(super) fn read(text: &str) -> Result<Self, BaseError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines.take(LINES_MAX).map(|line| {
            let (fate, pattern) = line.strip_prefix('!').map_or((Fate::Left, line), |kept| (Fate::Kept, kept.trim()));
            let pattern = pattern.trim_start_matches("./").trim_matches('/');
            Ok((fate, matcher(pattern)?))
        });
        Ok(Self { patterns: patterns.collect::<Result<_, BaseError>>()? })
    }

    /// Whether a path of the context is left out, by itself or with a directory it is in.
    pub(super) fn leaves_out(&self, path: &Path) -> bool {
        let mut fate = Fate::Kept;
        for (this, pattern) in &self.patterns {
            let fits = path.ancestors().any(|path| !path.as_os_str().is_empty() && pattern.is_match(path));
            if fits {
                fate = *this;
            }
        }
        fate == Fate::Left
    }
}

/// A pattern as Go's `filepath.Match` has it, and `**`.
pub(super) fn matcher(pattern: &str) -> Result<GlobMatcher, BaseError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    let glob = glob.map_err(|error| {
        BaseError::unfit(format!("the pattern `{pattern}` cannot be read ({})", error.kind()), "correct it")
    })?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_counts() {
        let text = "# comment\n\n*.log\n!keep.log\n/target/\n**/node_modules\n./dist\ndocs\n!docs/README.md\n.git\n";
        let ignore = Ignore::read(text).unwrap();
        let left = [
            "a.log",
            "target",
            "target/debug/x",
            "node_modules",
            "web/app/node_modules/x.js",
            "dist/x",
            "docs/a.md",
            ".git/config",
        ];
        let kept = ["keep.log", "sub/a.log", "src/main.rs", "docs/README.md", "targets", "sub/target", ".gitignore"];
        for path in left {
            assert!(ignore.leaves_out(Path::new(path)), "{path}");
        }
        for path in kept {
            assert!(!ignore.leaves_out(Path::new(path)), "{path}");
        }
        assert!(Ignore::read("[").is_err());
    }
}
