//! Runs one command in a sandbox, without the rest of hangar: `sandbox-try DATA LAYER SESSION COMMAND…`
//!
//! DATA is a data directory; LAYER and SESSION are directories below it: a layer's tree (`LAYER/workspace` …), and what keeps the changes.
//!
//! For trying the engine on a machine, and for tests that need an engine in a process of its own.

use std::{
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use hangar_sandbox::{
    BackendKind, Engine, EngineConfig, Error, ExecSpec, ExitStatus, MachineKernel, Root, SandboxSpec, Stream,
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, layer, session, command @ ..] = arguments.as_slice() else {
        let _ = writeln!(stderr(), "usage: sandbox-try DATA LAYER SESSION COMMAND…");
        return ExitCode::from(2);
    };
    match run(data, layer, session, command).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(data: &str, layer: &str, session: &str, command: &[String]) -> Result<ExitCode, Error> {
    let mut config = EngineConfig::new(data);
    // Another backend than `namespace` is named in the environment, where its daemon listens and
    // which kernel its machines start from.
    if let Ok(name) = std::env::var("SANDBOX_TRY_BACKEND") {
        config.backend = BackendKind::named(&name).ok_or(Error::BadName(name))?;
    }
    if let Some(socket) = std::env::var_os("SANDBOX_TRY_DOCKER") {
        config.docker_socket = socket.into();
    }
    config.machine_kernel = std::env::var_os("SANDBOX_TRY_KERNEL").map(MachineKernel::beside);
    let engine = Engine::new(config).await?;
    let name = std::env::var("SANDBOX_TRY_NAME").unwrap_or_else(|_| "try".into());
    let sandbox = engine.create(SandboxSpec::new(name, Root::host(vec![layer.into()]), session)).await?;
    let mut exec = sandbox.exec_stream(&ExecSpec::argv(command.iter().cloned())).await?;
    while let Some(chunk) = exec.next().await? {
        // A reader that has gone does not stop the command.
        let _ = match chunk.stream {
            Stream::Stdout => stdout().write_all(&chunk.bytes).and_then(|()| stdout().flush()),
            Stream::Stderr => stderr().write_all(&chunk.bytes),
        };
    }
    let ended = exec.wait().await?;
    sandbox.destroy().await;
    Ok(match ended.status {
        ExitStatus::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        ExitStatus::Signal(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
    })
}
