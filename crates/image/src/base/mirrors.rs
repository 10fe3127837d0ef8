//! Where Debian's packages come from.

use std::{fs, path::Path};

/// Debian's own mirrors, which answer from nearby wherever one is.
const MIRROR: &str = "http://deb.debian.org/debian";
const MIRROR_SECURITY: &str = "http://deb.debian.org/debian-security";
/// Largest file of sources that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What a base itself says: Debian's own mirrors.
pub(super) fn neutral(suite: &str) -> String {
    lines(suite, MIRROR, MIRROR_SECURITY).join("\n") + "\n"
}

/// Where a base of this suite is fetched: the configured mirror, or those this machine itself uses for the suite, or Debian's own.
pub(super) fn fetched_from(suite: &str, configured: &str) -> Vec<String> {
    if !configured.is_empty() {
        let mirror = configured.trim_end_matches('/');
        // Debian's convention for mirrors that carry both.
        let security = mirror.strip_suffix("/debian").map(|host| format!("{host}/debian-security"));
        return lines(suite, mirror, security.as_deref().unwrap_or(MIRROR_SECURITY));
    }
    let own = own_sources(Path::new("/etc/apt"));
    let of = |suite: &str| own.iter().find(|source| source.suite == suite).map(|source| source.uri.as_str());
    lines(suite, of(suite).unwrap_or(MIRROR), of(&format!("{suite}-security")).unwrap_or(MIRROR_SECURITY))
}

fn lines(suite: &str, mirror: &str, security: &str) -> Vec<String> {
    let line = |mirror: &str, suite: &str| format!("deb {mirror} {suite} main");
    match suite {
        // They have no updates beside them.
        "sid" | "unstable" | "testing" => vec![line(mirror, suite)],
        suite => vec![
            line(mirror, suite),
            line(mirror, &format!("{suite}-updates")),
            line(security, &format!("{suite}-security")),
        ],
    }
}

/// One source of packages of this machine.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    uri: String,
    suite: String,
}

fn own_sources(apt: &Path) -> Vec<Own> {
    let beside = fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = beside.collect();
    files.sort();
    files.insert(0, apt.join("sources.list"));
    let mut own = Vec::new();
    for file in files {
        if fs::metadata(&file).is_ok_and(|meta| meta.len() > FILE_BYTES_MAX) {
            continue;
        }
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => own.extend(one_line(&text)),
            Some("sources") => own.extend(paragraphs(&text)),
            Some(_) | None => {}
        }
    }
    // Only what mmdebstrap fetches without more; an address with a password in it is not for a base.
    own.retain(|source| {
        source.uri.starts_with("http") && !source.uri.contains('@') && !source.uri.contains(char::is_whitespace)
    });
    own
}

/// `deb [options] uri suite component…`
fn one_line(text: &str) -> Vec<Own> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("deb "));
    let own = lines.filter_map(|line| {
        let line = line.trim_start();
        let line = if line.starts_with('[') { line.split_once(']')?.1 } else { line };
        let mut words = line.split_whitespace();
        let (uri, suite) = (words.next()?.to_owned(), words.next()?.to_owned());
        words.any(|component| component == "main").then_some(Own { uri, suite })
    });
    own.collect()
}

/// Paragraphs of `URIs:`, `Suites:`, `Components:`.
fn paragraphs(text: &str) -> Vec<Own> {
    let mut own = Vec::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
                .unwrap_or_default()
        };
        let usable = field("Types").split_whitespace().any(|kind| kind == "deb")
            && field("Components").split_whitespace().any(|component| component == "main")
            && !field("Enabled").eq_ignore_ascii_case("no");
        let Some(uri) = field("URIs").split_whitespace().next().filter(|_| usable) else { continue };
        own.extend(field("Suites").split_whitespace().map(|suite| Own { uri: uri.into(), suite: suite.into() }));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_a_machine_are_read_in_both_forms() {
        let old = "# deb http://no.example/debian bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib\ndeb-src http://b.example/debian bookworm main\ndeb http://c.example/debian bookworm contrib\n";
        assert_eq!(one_line(old), [Own { uri: "http://a.example/debian".into(), suite: "bookworm".into() }]);
        let new = "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n";
        let of = |suite: &str| Own { uri: "http://a.example/debian".into(), suite: suite.into() };
        assert_eq!(paragraphs(new), [of("bookworm"), of("bookworm-updates")]);
    }

    #[test]
    fn the_configured_mirror_comes_first_and_is_not_what_the_base_says() {
        let from = fetched_from("bookworm", "http://mirror.example/debian/");
        assert_eq!(
            from,
            [
                "deb http://mirror.example/debian bookworm main",
                "deb http://mirror.example/debian bookworm-updates main",
                "deb http://mirror.example/debian-security bookworm-security main",
            ]
        );
        assert!(neutral("bookworm").starts_with("deb http://deb.debian.org/debian bookworm main\n"));
        assert_eq!(neutral("sid"), "deb http://deb.debian.org/debian sid main\n");
    }
}
