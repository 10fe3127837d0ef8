//! The table in docs/security.md, made from the cases.

use std::fmt::Write;

use hangar_sandbox::{Account, BackendKind};

use super::{
    TESTED,
    case::{Case, Group, Who, error_name},
    elsewhere::{self, Answer, Elsewhere, Seen},
};

/// Stands for the canaries of one run of a group.
pub(crate) const HOST_UNCHANGED: &str = "host-unchanged";

const BEGIN: &str =
    "<!-- the security suite: begin (generated, HANGAR_BLESS=1 cargo test -p hangar-sandbox security::) -->\n";
const END: &str = "<!-- the security suite: end -->\n";

fn rendered() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let cases = group.cases();
        let _ = write!(
            text,
            "\n### {} ({} cases)\n\n| case | CVE or source | what is tried | by |",
            group.title(),
            cases.len()
        );
        text.extend(TESTED.iter().map(|kind| format!(" {} |", kind.name())));
        text.push_str("\n| --- | --- | --- | --- |");
        text.push_str(&" --- |".repeat(TESTED.len()));
        text.push('\n');
        for case in cases {
            let by = match case.who {
                Who::Both => "user, root",
                Who::Agent => "user",
            };
            let tries = case.tries.replace('|', "\\|");
            let _ = write!(text, "| `{}` | {} | {tries} | {by} |", case.id, case.source);
            text.extend(TESTED.iter().map(|kind| format!(" {} |", outcome(*kind, case))));
            text.push('\n');
        }
    }
    text.push_str(&differences());
    text.push('\n');
    text
}

/// What comes of a case on a backend, for everybody who tries it there.
fn outcome(kind: BackendKind, case: &Case) -> String {
    let mut outcomes: Vec<String> = elsewhere::accounts(kind, case.who)
        .iter()
        .map(|account| match elsewhere::answer(kind, *account, case.id) {
            None => case.outcome(),
            Some(Answer::Errno(error)) => format!("{} *", error_name(error)),
            Some(Answer::Allowed | Answer::Says(_) | Answer::Sees(_)) => "harmless *".to_owned(),
        })
        .collect();
    outcomes.dedup();
    match outcomes.as_slice() {
        [same] => same.clone(),
        each => format!("user: {}; root: {}", each[0], each[1]),
    }
}

/// What the stars mean.
fn differences() -> String {
    let mut text = String::new();
    for kind in TESTED {
        let differences = elsewhere::of(*kind);
        if differences.is_empty() {
            continue;
        }
        let count = differences.len();
        let _ = write!(
            text,
            "\n### Where `{}` answers differently ({count})\n\n| case | by | what is seen | why it is as safe |\n| --- | --- | --- | --- |\n",
            kind.name()
        );
        for Elsewhere { case, who, answer, why } in differences {
            let by = match who {
                Seen::Everybody => {
                    let all: Vec<&str> =
                        elsewhere::accounts(*kind, Who::Both).iter().map(|account| called(*account)).collect();
                    all.join(", ")
                }
                Seen::UserAlone => called(Account::Agent).to_owned(),
                Seen::RootAlone => called(Account::Builder).to_owned(),
            };
            let seen = match answer {
                Answer::Errno(error) => error_name(*error).to_owned(),
                Answer::Allowed => "allowed".to_owned(),
                Answer::Says(words) | Answer::Sees(words) => {
                    format!("`{}`", words.replace('\n', " · ").replace('|', "\\|"))
                }
            };
            let _ = writeln!(text, "| `{case}` | {by} | {seen} | {why} |");
        }
    }
    text
}

fn called(account: Account) -> &'static str {
    match account {
        Account::Agent => "user",
        Account::Builder => "root",
    }
}

/// The guest as it is carried in every hangar, or, for mutations, the one from which guards can be taken.
static GUEST: &[u8] = include_bytes!(env!("HANGAR_GUEST"));

#[test]
fn what_is_shipped_has_no_switch() {
    let name = b"HANGAR_WITHOUT";
    let has = |program: &[u8]| program.windows(name.len()).any(|window| window == name);
    assert_eq!(has(GUEST), cfg!(feature = "mutations"));
    // The engine, by a program that has it inside.
    let engine = std::fs::read(env!("CARGO_BIN_EXE_sandbox-try")).unwrap();
    assert_eq!(has(&engine), cfg!(feature = "mutations"));
    // And nobody else switches the feature on.
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for entry in std::fs::read_dir(crates).unwrap().flatten() {
        let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        let own = ["sandbox", "guest"].iter().any(|own| *own == entry.file_name());
        assert!(own || !manifest.contains("mutations"), "{:?}", entry.path());
    }
}

#[test]
fn ids_are_unique_and_there_are_enough() {
    let mut ids: Vec<&str> = Group::ALL.iter().flat_map(|group| group.cases()).map(|case| case.id).collect();
    let count = ids.len();
    assert!(count >= 120, "{count}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn the_table_in_the_docs_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/security.md has the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("docs/security.md has the mark where the table ends");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", rendered());
    if std::env::var_os("HANGAR_BLESS").is_some() {
        std::fs::write(path, fresh).unwrap();
    } else {
        assert!(page == fresh, "docs/security.md is not what the suite says; write it with HANGAR_BLESS=1");
    }
}
