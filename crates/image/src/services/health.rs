//! Asks a service whether it is ready, from inside its sandbox.

use std::{collections::BTreeMap, time::Duration};

use hangar_sandbox::{ExecSpec, Sandbox};

use crate::recipe::Health;

/// How long one question may take.
const QUESTION_TIMEOUT_MS: u64 = 5_000;
/// Between two questions, at first and at most.
pub(super) const ASK_AGAIN_FIRST: Duration = Duration::from_millis(50);
pub(super) const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// Whether it is ready now.
pub(super) async fn is_ready(sandbox: &Sandbox, health: &Health, env: &BTreeMap<String, String>) -> bool {
    let script = match health {
        Health::Running => return true,
        Health::Tcp(port) => connects(*port),
        Health::Http(address) => answers(address),
        Health::Command(command) => command.clone(),
    };
    let spec = ExecSpec::shell(script).timeout_ms(QUESTION_TIMEOUT_MS).kill_leftovers();
    let spec = env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    sandbox.exec(&spec).await.is_ok_and(|collected| collected.ended.status.success())
}

/// bash connects by itself; where there is none, netcat has to.
fn connects(port: u16) -> String {
    format!(
        "if [ -n \"${{BASH_VERSION:-}}\" ]; then \
         (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null || (exec 3<>/dev/tcp/::1/{port}) 2>/dev/null; \
         else nc -z 127.0.0.1 {port} || nc -z ::1 {port}; fi"
    )
}

fn answers(address: &str) -> String {
    let rest = address.trim_start_matches("http://");
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let quoted = crate::recipe::quoted;
    let (host, port, path, address) = (quoted(host), quoted(port), quoted(path), quoted(address));
    format!(
        "if [ -n \"${{BASH_VERSION:-}}\" ]; then host={host} port={port} path={path}; \
         exec 3<>\"/dev/tcp/$host/$port\" || exit 1; \
         printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' \"$path\" \"$host\" >&3; \
         read -r -t 4 _ status _ <&3 && [ \"$status\" -lt 400 ]; \
         else wget -q -O /dev/null {address}; fi"
    )
}
