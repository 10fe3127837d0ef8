//! Finding paths and lines, as ripgrep does: what `.gitignore` leaves out is left out, and so is `.git`.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use globset::{GlobBuilder, GlobMatcher};
use grep_regex::RegexMatcherBuilder;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch};
use hangar_protocol::guest::{
    Failure, FailureKind, Found, GlobRequest, GrepMatch, GrepRequest, MATCH_LINE_BYTES_MAX, MATCHES_MAX, PATHS_MAX,
    Reply,
};
use ignore::{Walk, WalkBuilder};

use crate::files::{NAMES_BYTES_MAX, failure, resolve};

/// Lines of context a match may carry on each side.
const CONTEXT_LINES_MAX: u32 = 20;
/// Paths a glob looks at before it sorts; what is beyond is told as truncated.
const CANDIDATES_MAX: usize = 200_000;
/// What an expression may cost when compiled.
const REGEX_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Walks as git sees it, hidden files included.
pub(crate) fn walk(root: &Path) -> WalkBuilder {
    let mut walk = WalkBuilder::new(root);
    walk.hidden(false)
        .require_git(false)
        .git_global(false)
        .parents(true)
        .filter_entry(|entry| entry.file_name() != ".git");
    walk
}

fn sorted_walk(root: &Path) -> Walk {
    walk(root).sort_by_file_path(Path::cmp).build()
}

fn matcher(pattern: &str) -> Result<GlobMatcher, Failure> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| Failure { kind: FailureKind::Invalid, message: format!("bad pattern: {error}") })
}

/// A pattern without a slash matches names anywhere, one with a slash matches whole relative paths.
fn matches(matcher: &GlobMatcher, pattern: &str, relative: &Path) -> bool {
    if pattern.contains('/') {
        matcher.is_match(relative)
    } else {
        relative.file_name().is_some_and(|name| matcher.is_match(name))
    }
}

/// Files whose path matches, the last changed first.
pub(crate) fn glob(request: &GlobRequest, cancelled: &AtomicBool) -> Result<Reply, Failure> {
    let root = resolve(&request.path);
    std::fs::metadata(&root).map_err(|error| failure(&request.path, &error))?;
    let matcher = matcher(&request.pattern)?;
    let mut found: Vec<(SystemTime, String)> = Vec::new();
    let mut truncated = false;
    for entry in walk(&root).build().flatten() {
        if cancelled.load(Ordering::Relaxed) {
            break;
        }
        let is_file = entry.file_type().is_some_and(|kind| !kind.is_dir());
        let Ok(relative) = entry.path().strip_prefix(&root) else { continue };
        if is_file && matches(&matcher, &request.pattern, relative) {
            if found.len() == CANDIDATES_MAX {
                truncated = true;
                break;
            }
            let changed = entry.metadata().ok().and_then(|meta| meta.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((changed, relative.to_string_lossy().into_owned()));
        }
    }
    found.sort_by(|(a_time, a_path), (b_time, b_path)| b_time.cmp(a_time).then_with(|| a_path.cmp(b_path)));
    let mut paths = Vec::new();
    let mut bytes = 0;
    for (_, path) in found {
        if paths.len() >= request.limit.min(PATHS_MAX) as usize || bytes > NAMES_BYTES_MAX {
            truncated = true;
            break;
        }
        bytes += path.len();
        paths.push(path);
    }
    Ok(Reply::Paths(Found { paths, truncated }))
}

/// Lines that match.
pub(crate) fn grep(request: &GrepRequest, cancelled: &AtomicBool) -> Result<Reply, Failure> {
    let root = resolve(&request.path);
    std::fs::metadata(&root).map_err(|error| failure(&request.path, &error))?;
    let expression = RegexMatcherBuilder::new()
        .case_insensitive(request.ignore_case)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .line_terminator(Some(b'\n'))
        .build(&request.pattern)
        .map_err(|error| Failure { kind: FailureKind::Invalid, message: format!("bad expression: {error}") })?;
    let filter =
        request.glob.as_deref().map(|pattern| matcher(pattern).map(|matcher| (matcher, pattern))).transpose()?;
    let context = request.context.min(CONTEXT_LINES_MAX) as usize;
    let mut searcher = SearcherBuilder::new()
        .line_number(true)
        .binary_detection(BinaryDetection::quit(0))
        .before_context(context)
        .after_context(context)
        .build();
    let mut lines = Lines {
        path: String::new(),
        found: vec![],
        bytes: 0,
        limit: request.limit.min(MATCHES_MAX) as usize,
        full: false,
        cancelled,
    };
    for entry in sorted_walk(&root).flatten() {
        if lines.full || cancelled.load(Ordering::Relaxed) {
            break;
        }
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let relative = match entry.path().strip_prefix(&root) {
            Ok(relative) if !relative.as_os_str().is_empty() => relative,
            // The path asked for is a file itself.
            Ok(_) | Err(_) => entry.path().file_name().map_or(entry.path(), Path::new),
        };
        if filter.as_ref().is_some_and(|(matcher, pattern)| !matches(matcher, pattern, relative)) {
            continue;
        }
        lines.path = relative.to_string_lossy().into_owned();
        // A file that cannot be read has no matches.
        let _ = searcher.search_path(&expression, entry.path(), &mut lines);
    }
    Ok(Reply::Matches { matches: lines.found, truncated: lines.full })
}

/// Gathers matching lines up to a limit.
struct Lines<'a> {
    path: String,
    found: Vec<GrepMatch>,
    bytes: usize,
    limit: usize,
    full: bool,
    cancelled: &'a AtomicBool,
}

impl Lines<'_> {
    /// Returns whether the search should go on.
    fn take(&mut self, line: Option<u64>, text: &[u8], context: bool) -> bool {
        if self.found.len() >= self.limit || self.bytes > NAMES_BYTES_MAX {
            self.full = true;
            return false;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.get(..MATCH_LINE_BYTES_MAX).unwrap_or(text);
        let text = String::from_utf8_lossy(text).into_owned();
        self.bytes += text.len() + self.path.len();
        self.found.push(GrepMatch { path: self.path.clone(), line: line.unwrap_or(0), text, context });
        !self.cancelled.load(Ordering::Relaxed)
    }
}

impl Sink for Lines<'_> {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        Ok(self.take(found.line_number(), found.bytes(), false))
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> Result<bool, Self::Error> {
        Ok(self.take(found.line_number(), found.bytes(), true))
    }
}
