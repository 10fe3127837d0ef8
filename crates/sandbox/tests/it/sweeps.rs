//! A start over what a killed engine left in control groups.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    bench::{engine_with_slots, until},
    kills::data,
    remains,
};

/// Groups that cannot be removed for a while.
const BUSY: u32 = 8;
/// Waiting for them one by one took two seconds for each.
const START_MAX: Duration = Duration::from_secs(8);
/// No process has this number.
const NOBODY: u32 = u32::MAX;

/// Where this process's engine over `data` has its directories.
fn homes(id: &str) -> Vec<PathBuf> {
    let own = format!("hangar-{id}-{}", std::process::id());
    let (mut found, mut waiting) = (Vec::new(), vec![PathBuf::from("/sys/fs/cgroup")]);
    while let Some(group) = waiting.pop() {
        let below = fs::read_dir(&group).into_iter().flatten().flatten().map(|entry| entry.path());
        for directory in below.filter(|path| path.is_dir() && !path.is_symlink()) {
            if directory.ends_with(&own) { found.push(group.clone()) } else { waiting.push(directory) }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_groups_that_are_busy_and_they_go_all_the_same() {
    let directory = data();
    let engine = engine_with_slots(directory.path(), 0).await;
    let id = fs::read_to_string(directory.path().join("run/sandboxes/engine-id")).unwrap();
    let homes = homes(&id);
    assert!(!homes.is_empty());
    engine.close();
    drop(engine);
    // To the kernel a group with another below is as busy as one whose last process is not quite gone.
    let dead: Vec<PathBuf> = homes.iter().map(|home| home.join(format!("hangar-{id}-{NOBODY}"))).collect();
    let busy = |of: &Path| (0..BUSY).map(|number| of.join(format!("{number}/busy"))).collect::<Vec<_>>();
    dead.iter().flat_map(|dead| busy(dead)).for_each(|group| fs::create_dir_all(group).unwrap());
    let began = Instant::now();
    let engine = engine_with_slots(directory.path(), 0).await;
    assert!(began.elapsed() < START_MAX, "{:?}", began.elapsed());
    assert!(dead.iter().all(|dead| dead.exists()));
    dead.iter().flat_map(|dead| busy(dead)).for_each(|group| fs::remove_dir(group).unwrap());
    until("the groups are gone", || !dead.iter().any(|dead| dead.exists())).await;
    engine.close();
    drop(engine);
    assert_eq!(remains::of_engine(directory.path()), Vec::<String>::new());
}
