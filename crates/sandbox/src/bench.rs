//! Measures what sandboxes cost on this machine. `hangar bench sandbox` shows it; `sandbox-bench` prints it while one works on the engine.
//!
//! The floor of every time is `posix_spawn` of `/bin/true` from this process, taken in turns with what is measured, so that a noisy neighbour disturbs both.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::future::join_all;

use crate::{Engine, EngineConfig, Error, ExecSpec, Root, Sandbox, SandboxSpec};

/// What was measured under one name, with the floor of the same moments.
#[derive(Clone, Debug)]
pub struct Times {
    /// As design documents and scripts call it.
    pub name: &'static str,
    /// One for each round.
    pub times: Vec<Duration>,
    /// The floor, one for each round; empty where it makes no sense.
    pub floor: Vec<Duration>,
}

/// A figure that is no time.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// As design documents and scripts call it.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// How many slots or sandboxes it was taken over.
    pub n: usize,
    /// The figure.
    pub value: f64,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Times.
    pub times: Vec<Times>,
    /// Other figures.
    pub figures: Vec<Figure>,
}

/// How long the kernel may take to free what nobody has any more.
const SETTLING: Duration = Duration::from_millis(500);
/// Slots over which memory and rate are measured.
const SLOTS: usize = 100;
/// Sandboxes that are claimed at once.
const AT_ONCE: usize = 500;
/// How long the pool may take to fill.
const FILL_PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the pool.
const FILL_PAUSE: Duration = Duration::from_micros(200);

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Commands and pauses in a running sandbox.
    Exec,
    /// Claims with slots ready.
    Claim,
    /// Everything without a slot.
    Cold,
    /// What slots cost.
    Slots,
    /// Five hundred claims at once.
    Crowd,
    /// Other programs, where installed.
    Peers,
}

impl Part {
    /// All of them, in the order they are measured in.
    pub const ALL: [Self; 6] = [Self::Exec, Self::Claim, Self::Cold, Self::Slots, Self::Crowd, Self::Peers];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Claim => "claim",
            Self::Cold => "cold",
            Self::Slots => "slots",
            Self::Crowd => "crowd",
            Self::Peers => "peers",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::Exec => "commands, pause and resume in a running sandbox",
            Self::Claim => "claims with slots ready",
            Self::Cold => "cold: no slot ready",
            Self::Slots => "slots: memory and rate",
            Self::Crowd => "500 claimed at once",
            Self::Peers => "other programs, where installed",
        }
    }
}

/// Measures these parts. `folder` is an empty directory on the file system that is to be measured; everything in it can be removed afterwards. All take a
/// minute. Call it from a task: whoever blocks on it from outside the runtime measures the way back there as well.
///
/// # Errors
/// When sandboxes cannot be made here.
pub async fn measure(
    folder: &Path,
    rounds: u32,
    parts: &[Part],
    mut tell: impl FnMut(&str) + Send,
) -> Result<Found, Error> {
    let mut found = Found::default();
    for part in parts {
        tell(part.says());
        let folder = folder.join(part.name());
        match part {
            Part::Exec => exec(&folder, rounds, &mut found).await?,
            Part::Claim => claim(&folder, rounds, &mut found).await?,
            Part::Cold => cold(&folder, rounds, &mut found).await?,
            Part::Slots => slots(&folder, &mut found).await?,
            Part::Crowd => at_once(&folder, &mut found).await?,
            Part::Peers => peers(&folder, rounds, &mut found)?,
        }
    }
    Ok(found)
}

/// One turn of the floor.
fn spawn() -> io::Result<Duration> {
    let began = Instant::now();
    quiet(Command::new("/bin/true"))?;
    Ok(began.elapsed())
}

fn quiet(mut command: Command) -> io::Result<bool> {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?.wait()?;
    Ok(done.success())
}

/// Takes turns: the floor, then the thing.
struct Series {
    times: Times,
}

impl Series {
    const fn new(name: &'static str) -> Self {
        Self { times: Times { name, times: Vec::new(), floor: Vec::new() } }
    }

    fn floor(&mut self) -> Result<(), Error> {
        self.times.floor.push(spawn().map_err(Error::kernel("run /bin/true"))?);
        Ok(())
    }

    fn add(&mut self, time: Duration) {
        self.times.times.push(time);
    }
}

fn spec(folder: &Path, number: u32) -> SandboxSpec {
    SandboxSpec::new(format!("bench-{number}"), Root::host(vec![]), folder.join(format!("session-{number}")))
}

/// The directories of a session are made with the session, before a claim.
fn session(engine: &Engine, folder: &Path, number: u32) -> Result<SandboxSpec, Error> {
    let spec = spec(folder, number);
    engine.lay_out(&spec.session_dir)?;
    Ok(spec)
}

fn a_true() -> ExecSpec {
    ExecSpec::argv(["/bin/true"]).cwd("/")
}

async fn engine(folder: &Path, slots: usize) -> Result<Engine, Error> {
    let mut config = EngineConfig::new(folder);
    config.slots = slots;
    config.sandboxes_max = crate::SANDBOXES_MAX;
    Engine::new(config).await
}

/// Waits until so many slots are ready.
async fn filled(engine: &Engine, wanted: usize) -> Result<(), Error> {
    let deadline = Instant::now() + FILL_PATIENCE;
    while engine.slots().ready < wanted {
        if Instant::now() > deadline {
            return Err(Error::Setup(format!("only {} of {wanted} slots became ready", engine.slots().ready)));
        }
        tokio::time::sleep(FILL_PAUSE).await;
    }
    Ok(())
}

async fn run(sandbox: &Sandbox) -> Result<(), Error> {
    sandbox.exec_stream(&a_true()).await?.wait().await.map(drop)
}

async fn exec(folder: &Path, rounds: u32, found: &mut Found) -> Result<(), Error> {
    let engine = engine(folder, 1).await?;
    filled(&engine, 1).await?;
    let sandbox = engine.create(spec(folder, 0)).await?;
    run(&sandbox).await?;
    let [mut ping, mut exec, mut pause, mut resume] = ["ping", "exec_claimed", "pause", "resume"].map(Series::new);
    for _ in 0..rounds {
        ping.floor()?;
        let began = Instant::now();
        sandbox.ping().await?;
        ping.add(began.elapsed());
    }
    for _ in 0..rounds {
        exec.floor()?;
        let began = Instant::now();
        run(&sandbox).await?;
        exec.add(began.elapsed());
    }
    if engine.capabilities().pause {
        for _ in 0..rounds {
            pause.floor()?;
            let began = Instant::now();
            sandbox.pause().await?;
            pause.add(began.elapsed());
            resume.floor()?;
            let began = Instant::now();
            sandbox.resume().await?;
            resume.add(began.elapsed());
        }
    }
    sandbox.destroy().await;
    found.times.extend([ping, exec, pause, resume].map(|series| series.times));
    engine.close();
    Ok(())
}

async fn claim(folder: &Path, rounds: u32, found: &mut Found) -> Result<(), Error> {
    let engine = engine(folder, 4).await?;
    let [mut claim, mut first, mut network] = ["claim", "claim_first_exec", "network_setup"].map(Series::new);
    for number in 1..=2 * rounds {
        let spec = session(&engine, folder, number)?;
        filled(&engine, 4).await?;
        let series = if number % 2 == 0 { &mut claim } else { &mut first };
        series.floor()?;
        let began = Instant::now();
        let sandbox = engine.create(spec).await?;
        if number % 2 == 1 {
            run(&sandbox).await?;
        }
        series.add(began.elapsed());
        if let Some(border) = sandbox.border() {
            network.times.floor.extend(series.times.floor.last());
            network.add(border.made_in);
        }
        sandbox.destroy().await;
    }
    found.times.extend([claim, first, network].map(|series| series.times));
    engine.close();
    Ok(())
}

async fn cold(folder: &Path, rounds: u32, found: &mut Found) -> Result<(), Error> {
    let engine = engine(folder, 0).await?;
    let [mut first, mut cycle] = ["cold_first_instruction", "cold_cycle"].map(Series::new);
    for number in 0..rounds {
        let spec = session(&engine, folder, number)?;
        first.floor()?;
        cycle.times.floor.extend(first.times.floor.last());
        let began = Instant::now();
        let sandbox = engine.create(spec).await?;
        let mut exec = sandbox.exec_stream(&a_true()).await?;
        first.add(began.elapsed());
        exec.wait().await?;
        sandbox.destroy().await;
        cycle.add(began.elapsed());
    }
    found.times.extend([first, cycle].map(|series| series.times));
    engine.close();
    Ok(())
}

async fn slots(folder: &Path, found: &mut Found) -> Result<(), Error> {
    // The first engine warms what is shared by all.
    let first = engine(&folder.join("first"), 1).await?;
    filled(&first, 1).await?;
    tokio::time::sleep(SETTLING).await;
    let engine = engine(&folder.join("many"), SLOTS).await?;
    // From the first slot on: opening an engine happens once.
    filled(&engine, 1).await?;
    let (already, before, began) = (engine.slots().ready, taken_bytes(), Instant::now());
    filled(&engine, SLOTS).await?;
    let (took, made) = (began.elapsed(), (SLOTS - already) as f64);
    tokio::time::sleep(SETTLING).await;
    let bytes = (taken_bytes() - before) / made;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let rate = made / took.as_secs_f64() / cores;
    found.figures.extend([
        Figure { name: "slot_bytes", unit: "bytes", n: SLOTS, value: bytes },
        Figure { name: "slots_per_s", unit: "1/s per core", n: SLOTS, value: rate },
    ]);
    engine.close();
    first.close();
    Ok(())
}

/// What processes and the kernel have taken, in bytes; copies of files, which come and go as the kernel likes, are none of it.
fn taken_bytes() -> f64 {
    const TAKEN: [&str; 6] = ["AnonPages:", "Shmem:", "Slab:", "KernelStack:", "PageTables:", "Percpu:"];
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let known = TAKEN.contains(&words.next()?);
        words.next()?.parse::<f64>().ok().filter(|_| known)
    });
    kib.sum::<f64>() * 1024.0
}

async fn at_once(folder: &Path, found: &mut Found) -> Result<(), Error> {
    let engine = engine(folder, AT_ONCE).await?;
    filled(&engine, AT_ONCE).await?;
    let count = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    let specs = (0..count).map(|number| session(&engine, folder, number)).collect::<Result<Vec<_>, _>>()?;
    let before = taken_bytes();
    let mut series = Series::new("claim_500_at_once");
    let claims = join_all(specs.into_iter().map(|spec| async {
        let began = Instant::now();
        let sandbox = engine.create(spec).await?;
        Ok::<_, Error>((began.elapsed(), sandbox))
    }));
    let claimed = claims.await.into_iter().collect::<Result<Vec<_>, Error>>()?;
    for (time, _) in &claimed {
        series.add(*time);
    }
    // What a slot had before it was claimed is part of an idle sandbox; the pool's new slots are not, but fill up meanwhile.
    filled(&engine, AT_ONCE).await?;
    tokio::time::sleep(SETTLING).await;
    let each = (taken_bytes() - before) / AT_ONCE as f64;
    found.figures.push(Figure {
        name: "idle_sandboxes_per_gib",
        unit: "sandboxes",
        n: AT_ONCE,
        value: (1024.0 * 1024.0 * 1024.0 / each.max(1.0)).round(),
    });
    found.times.push(series.times);
    let began = Instant::now();
    join_all(claimed.iter().map(|(_, sandbox)| sandbox.destroy())).await;
    found.times.push(Times { name: "destroy_500", times: vec![began.elapsed()], floor: vec![] });
    engine.close();
    Ok(())
}

/// Programs with the same task: run `/bin/true` in new namespaces over this machine's files.
fn peers(folder: &Path, rounds: u32, found: &mut Found) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::host(folder))?;
    let bundle = bundle(folder).map_err(Error::host(folder))?;
    for (name, arguments) in [
        ("bwrap", ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"].as_slice()),
        ("crun", &["run", "--bundle", "{}", "hangar-bench"]),
        ("runc", &["run", "--bundle", "{}", "hangar-bench"]),
        ("docker", &["run", "--rm", "--network=none", "debian:stable-slim", "/bin/true"]),
    ] {
        let command = || {
            let mut command = Command::new(name);
            let bundle = bundle.to_string_lossy();
            command.args(arguments.iter().map(|argument| if *argument == "{}" { &bundle } else { *argument }));
            command
        };
        // Not installed, or unable to do it here.
        if !quiet(command()).is_ok_and(|well| well) {
            continue;
        }
        let mut series = Series::new(name);
        for _ in 0..rounds.min(60) {
            series.floor()?;
            let began = Instant::now();
            quiet(command()).map_err(Error::kernel(format!("run {name}")))?;
            series.add(began.elapsed());
        }
        found.times.push(series.times);
    }
    Ok(())
}

/// An OCI bundle whose root is this machine's.
fn bundle(folder: &Path) -> io::Result<PathBuf> {
    let bundle = folder.join("bundle");
    fs::create_dir_all(&bundle)?;
    fs::set_permissions(&bundle, fs::Permissions::from_mode(0o755))?;
    let mount = |to: &str, kind: &str| serde_json::json!({"destination": to, "type": kind, "source": kind});
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| serde_json::json!({"type": kind}));
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": {"path": "/", "readonly": true},
        "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/usr/bin:/bin"], "noNewPrivileges": true},
        "mounts": [mount("/proc", "proc"), mount("/tmp", "tmpfs")],
        "linux": {"namespaces": namespaces},
    });
    fs::write(bundle.join("config.json"), config.to_string())?;
    Ok(bundle)
}
