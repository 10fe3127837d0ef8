//! The table in docs/security.md, made from the cases.

use super::case::{Group, Who};

/// Stands for the canaries of one run of a group.
pub(crate) const HOST_UNCHANGED: &str = "host-unchanged";

const BEGIN: &str =
    "<!-- the security suite: begin (generated, HANGAR_BLESS=1 cargo test -p hangar-sandbox security::) -->\n";
const END: &str = "<!-- the security suite: end -->\n";

fn rendered() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let cases = group.cases();
        text.push_str(&format!("\n### {} ({} cases)\n\n", group.title(), cases.len()));
        text.push_str(
            "| case | CVE or source | what is tried | by | what comes of it |\n| --- | --- | --- | --- | --- |\n",
        );
        for case in cases {
            let by = match case.who {
                Who::Both => "user, root",
                Who::Agent => "user",
            };
            let tries = case.tries.replace('|', "\\|");
            text.push_str(&format!("| `{}` | {} | {tries} | {by} | {} |\n", case.id, case.source, case.outcome()));
        }
    }
    text.push('\n');
    text
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
