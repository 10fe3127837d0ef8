//! Services that hangar knows how to run: PostgreSQL and Redis, from whatever the base has installed.

use super::{Health, Restart, Service, Step};

/// What `uses` may say.
pub(super) const NAMES: &[&str] = &["postgresql", "redis"];

/// The service `name` of this kind.
pub(super) fn service(name: &str, uses: &str, database: Option<&str>) -> Result<Service, String> {
    match uses {
        "postgresql" => postgresql(name, database.unwrap_or("app")),
        "redis" if database.is_some() => Err(format!("service `{name}`: Redis has no `database`")),
        "redis" => Ok(redis(name)),
        other => Err(format!("service `{name}`: uses = {other:?} is not known; hangar knows {}", NAMES.join(" and "))),
    }
}

/// Debian keeps the programs of each version out of `PATH`.
const POSTGRESQL_PATH: &str = r#"PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)""#;

fn postgresql(name: &str, database: &str) -> Result<Service, String> {
    let fits = !database.is_empty() && database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        return Err(format!("service `{name}`: database = {database:?} must be letters, digits and `_`"));
    }
    let data = data(name);
    let step = |what: &str, script: String| Step::strict(format!("{name}: {what}"), script);
    // The database is made without a server, so that the recipe's own `seed` finds it. Durability is hangar's snapshots': a database that flushes every commit only makes tests slow.
    let prepare = step(
        "prepare",
        format!(
            "{POSTGRESQL_PATH}\n\
             [ -s {data}/PG_VERSION ] && exit 0\n\
             mkdir -p {data} && chmod 700 {data}\n\
             initdb --pgdata={data} --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >/dev/null\n\
             printf '%s\\n' 'fsync = off' 'full_page_writes = off' 'synchronous_commit = off' \
             \"listen_addresses = '127.0.0.1'\" \"unix_socket_directories = '/tmp'\" >> {data}/postgresql.conf\n\
             [ {database} = postgres ] || echo 'create database \"{database}\"' | postgres --single -D {data} postgres >/dev/null"
        ),
    );
    // What a killed server left is in the way of the next one; only one runs in a sandbox.
    let run = step("run", format!("{POSTGRESQL_PATH}\nrm -f {data}/postmaster.pid\nexec postgres -D {data}"));
    let stop =
        step("stop", format!("{POSTGRESQL_PATH}\npg_ctl stop --pgdata={data} --mode=fast --silent --timeout=30"));
    let ready = "pg_isready --quiet --host=127.0.0.1 --username=postgres";
    Ok(Service {
        name: name.to_owned(),
        prepare: Some(prepare),
        setup: None,
        run,
        seed: None,
        health: Health::Command(format!("{POSTGRESQL_PATH}\n{ready}")),
        ready_seconds_max: 60,
        stop: Some(stop),
        restart: Restart::OnFailure,
    })
}

fn redis(name: &str) -> Service {
    let data = data(name);
    Service {
        name: name.to_owned(),
        prepare: Some(Step::strict(format!("{name}: prepare"), format!("mkdir -p {data}"))),
        setup: None,
        run: Step::strict(
            format!("{name}: run"),
            format!("exec redis-server --bind 127.0.0.1 --port 6379 --dir {data} --save '' --appendonly yes"),
        ),
        seed: None,
        health: Health::Tcp(6379),
        ready_seconds_max: 30,
        stop: Some(Step::strict(format!("{name}: stop"), "redis-cli -h 127.0.0.1 shutdown")),
        restart: Restart::OnFailure,
    }
}

/// Where its data is. In the home, so that it is part of the image and of every snapshot.
fn data(name: &str) -> String {
    format!("/home/agent/.hangar/services/{name}")
}
