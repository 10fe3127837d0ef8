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
        let mut rows = vec![slots(&pool)];
        rows.extend(pool.repos.iter().map(repo));
        for line in columns(terminal.painter(), &rows) {
            terminal.line(&line)?;
        }
        if pool.repos.is_empty() {
            terminal.remark(Look::Faint, "No repository has sandboxes of its own waiting: none was busy lately.");
        }
        Ok(Ended::Well)
    }
}

fn slots(pool: &PoolInfo) -> [Cell; 5] {
    let slots = &pool.slots;
    [
        (Look::Strong, "any repository".to_owned()),
        (Look::Good, format!("{} ready", slots.ready)),
        (Look::Faint, format!("{} made", slots.made)),
        (Look::Plain, format!("{} found one", slots.hits)),
        (Look::Plain, format!("{} did not", slots.misses)),
    ]
}

fn repo(pool: &RepoPool) -> [Cell; 5] {
    let waited = if pool.misses > 0 {
        format!(", and waited {}", words::duration(u64::from(pool.wait_ms_p50)))
    } else {
        String::new()
    };
    [
        (Look::Strong, pool.repo.to_string()),
        (Look::Good, format!("{} ready", pool.ready)),
        (Look::Faint, format!("{} wanted", pool.wanted)),
        (Look::Plain, format!("{} found one", pool.hits)),
        (Look::Plain, format!("{} did not{waited}", pool.misses)),
    ]
}
