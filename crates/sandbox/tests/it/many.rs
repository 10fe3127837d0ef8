//! Many sandboxes, one wave after the other, some given up while they are being made: nothing of them stays.

use std::{
    collections::HashMap,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{kills::data, remains};

const SANDBOXES: u64 = 500;
/// Sandboxes at once, slots that wait, and slots that are being made: more ranges of ids are never in use.
const AT_ONCE: u64 = 25 + 4 + 6;
/// What a process may have more of after 400 further sandboxes. One for each would be far more.
const DESCRIPTORS_MORE_MAX: u64 = 20;
const THREADS_MAX: u64 = 60;
const MEMORY_MORE_KIB_MAX: u64 = 16 * 1024;
/// The first id of all ranges, and how many are in one.
const FIRST_ID: u64 = 2_000_000_000;
const RANGE: u64 = 65_536;

#[test]
fn five_hundred_sandboxes_leave_nothing() {
    // `HANGAR_SEED` repeats the moments at which sandboxes are given up, not the machine's own timing.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = std::env::var("HANGAR_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let directory = data();
    let began = Instant::now();
    let program = Command::new(env!("CARGO_BIN_EXE_faults-try"))
        .arg(directory.path())
        .args(["many", &SANDBOXES.to_string(), &seed.to_string()])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&program.stdout), String::from_utf8_lossy(&program.stderr));
    println!("seed {seed}, {:?}\n{said}", began.elapsed());
    assert!(program.status.success() && said.ends_with("closed\n"), "{said}");
    let counts: Vec<HashMap<&str, u64>> =
        said.lines().filter_map(|line| line.strip_prefix("after ")).map(counts).collect();
    let [early, late] = &counts[..] else { panic!("{said}") };
    // The slots that wait and the nursery they are from; and their control groups, with that of the next.
    assert_eq!((early["children"], late["children"]), (5, 5), "{said}");
    assert!(late["groups"] <= 5, "{said}");
    assert!(late["descriptors"] <= early["descriptors"] + DESCRIPTORS_MORE_MAX, "{said}");
    assert!(late["threads"] <= THREADS_MAX, "{said}");
    assert!(late["rss_kib"] <= early["rss_kib"] + MEMORY_MORE_KIB_MAX, "{said}");
    // Ranges of ids are given out again.
    assert!((late["highest_id"] - FIRST_ID) / RANGE <= AT_ONCE, "{said}");
    assert_eq!(remains::of_engine(directory.path()), Vec::<String>::new());
    assert_eq!(remains::half_done(directory.path()), Vec::<String>::new());
}

fn counts(line: &str) -> HashMap<&str, u64> {
    line.split(' ')
        .filter_map(|word| word.split_once('='))
        .map(|(name, count)| (name, count.parse().unwrap()))
        .collect()
}
