//! `hangar pool`: the sandboxes that are kept ready.

use clap::Args;
use hangar_protocol::api::{PoolInfo, RepoPool};

use super::{
    connect,
    ended::{Ended, Outcome},
    table::{Cell, columns},
    terminal::{Look, Terminal},
    words,
};

/// Show the sandboxes that are kept ready, and how often they were of use
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hangar pool --json | jq .slots.ready")]
pub(super) struct Pool {}

impl Pool {
    pub(super) async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let pool = connect()?.pool().await?;
        if terminal.is_json() {
            terminal.json(&pool)?;
            return Ok(Ended::Well);
        }
        let head =
            ["", "ready", "sessions that found one", "that did not", ""].map(|text| (Look::Faint, text.to_owned()));
        let mut rows = vec![head, slots(&pool)];
        rows.extend(pool.repos.iter().map(repo));
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        if pool.repos.is_empty() {
            terminal.remark(Look::Faint, "No repository has sandboxes of its own waiting: none was busy lately.");
        }
        terminal.remark(Look::Faint, &limits(&pool));
        Ok(Ended::Well)
    }
}

fn limits(pool: &PoolInfo) -> String {
    let PoolInfo { floor, ceiling, memory_bytes, memory_bytes_max, .. } = pool;
    format!(
        "{floor} to {ceiling} for each busy repository; they use {} of the {} of memory they may use together.",
        words::bytes(*memory_bytes),
        words::bytes(*memory_bytes_max)
    )
}

fn slots(pool: &PoolInfo) -> [Cell; 5] {
    let slots = &pool.slots;
    [
        (Look::Strong, "any repository".to_owned()),
        (Look::Good, slots.ready.to_string()),
        (Look::Plain, slots.hits.to_string()),
        (Look::Plain, slots.misses.to_string()),
        (Look::Faint, format!("{} made so far", slots.made)),
    ]
}

fn repo(pool: &RepoPool) -> [Cell; 5] {
    let waited = |count: u64, wait_ms: u32| match count {
        0 => "0".to_owned(),
        count => format!("{count} (waited {})", words::short_duration(u64::from(wait_ms))),
    };
    let some = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let more = [
        some(pool.reserved.into(), "kept for who types"),
        some(pool.preparing.into(), "being made"),
        some(pool.abandoned, "typed for in vain"),
    ];
    [
        (Look::Strong, pool.repo.to_string()),
        (Look::Good, format!("{} of {}", pool.ready, pool.wanted)),
        (Look::Plain, waited(pool.hits, pool.hit_wait_ms_p50)),
        (Look::Plain, waited(pool.misses, pool.miss_wait_ms_p50)),
        (Look::Faint, more.into_iter().flatten().collect::<Vec<_>>().join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_told_in_a_line() {
        let pool = RepoPool {
            repo: "acme/app".parse().unwrap(),
            ready: 2,
            reserved: 1,
            preparing: 0,
            wanted: 3,
            hits: 4,
            misses: 1,
            hit_wait_ms_p50: 7,
            miss_wait_ms_p50: 1_400,
            abandoned: 5,
        };
        let told: Vec<String> = repo(&pool).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            told,
            ["acme/app", "2 of 3", "4 (waited 7 ms)", "1 (waited 1.4 s)", "1 kept for who types, 5 typed for in vain"]
        );
    }
}
