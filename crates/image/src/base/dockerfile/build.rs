//! Carries a plan out.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use hangar_sandbox::{
    Account, ExecSpec, LimitHit, Root, SandboxSpec,
    layers::{About, Kind as LayerKind, LayerId},
};

use crate::{
    base::{
        BaseError, BaseMaker, Made, Note, Notes, Record, blocking,
        dockerfile::{
            Dockerfile, Room, Rooms,
            ignore::Ignore,
            pick::From,
            plan::{Copy, Kind, Plan, Program, Script, Stage, Step, refused, refused_but},
            put::{Given, Put},
            user::User,
            words::{Variables, filled, pairs},
        },
        record,
    },
    oci::{Digest, Owners, RunConfig, layer::merged::Merged},
};

/// How long one instruction may take.
const RUN_PATIENCE: Duration = Duration::from_secs(3600);
/// What is kept of a command's output for an error, in bytes.
const SAID_BYTES: usize = 4096;
/// What shells a `RUN` uses when no `SHELL` says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Where programs are looked up when the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Stages that may depend on each other in a row.
const STAGES_DEEP_MAX: usize = 50;

/// A Dockerfile that is being built.
pub(super) struct Build<'a> {
    maker: &'a BaseMaker,
    wanted: &'a Dockerfile,
    plan: &'a Plan,
    rooms: &'a dyn Rooms,
    notes: &'a Notes,
    ignore: Arc<Ignore>,
    global: Variables,
    done: BTreeMap<usize, So>,
}

/// How far a stage is.
#[derive(Clone, Debug)]
struct So {
    /// Topmost first.
    layers: Vec<LayerId>,
    config: RunConfig,
    /// Names everything up to here.
    key: Digest,
}

impl<'a> Build<'a> {
    pub(super) fn new(
        maker: &'a BaseMaker,
        wanted: &'a Dockerfile,
        plan: &'a Plan,
        rooms: &'a dyn Rooms,
        notes: &'a Notes,
    ) -> Result<Self, BaseError> {
        let mut global = platform_variables();
        for arg in &plan.global_args {
            let (name, value) = argument(arg, &global).map_err(|what| refused(1, what))?;
            let value = wanted.args.get(&name).cloned().or(value);
            if let Some(value) = value {
                global.insert(name, value);
            }
        }
        let ignore = Arc::new(Ignore::read(&wanted.ignore)?);
        Ok(Self { maker, wanted, plan, rooms, notes, ignore, global, done: BTreeMap::new() })
    }

    pub(super) async fn run(mut self) -> Result<Made, BaseError> {
        let target = self.wanted.target.to_lowercase();
        let wanted = match target.as_str() {
            "" => self.plan.stages.len().checked_sub(1),
            name => self.plan.stages.iter().position(|stage| stage.name == name),
        };
        let wanted = wanted.ok_or_else(|| {
            BaseError::unfit(format!("`{}` has no stage `{target}`", self.wanted.name), "correct the recipe's `target`")
        })?;
        // Whatever a stage needs comes ahead of it: a stage refers only to earlier ones.
        for index in self.needed(wanted)? {
            let so = self.stage(index).await?;
            self.done.insert(index, so);
        }
        let so = self.done.remove(&wanted).ok_or_else(|| refused(1, "a stage that needs itself"))?;
        if so.layers.is_empty() {
            return Err(refused(1, "nothing is in the image; a base must have programs"));
        }
        let digest = record::content(&so.layers, &so.config);
        Ok(Made { name: self.wanted.name.clone(), digest, layers: so.layers, config: so.config })
    }

    /// The stages that must be built for one, in order, and itself.
    fn needed(&self, wanted: usize) -> Result<Vec<usize>, BaseError> {
        let mut needed = std::collections::BTreeSet::from([wanted]);
        let mut open = vec![wanted];
        while let Some(index) = open.pop() {
            let Some(stage) = self.plan.stages.get(index) else { continue };
            let from = filled(&stage.from, &self.global).map_err(|what| refused(stage.line, what))?;
            let copies = stage.steps.iter().filter_map(|step| match &step.kind {
                Kind::Copy(copy) => Some(copy.from.clone()),
                _ => None,
            });
            let names = copies.chain([from]).filter_map(|name| self.earlier(index, &name)).collect::<Vec<_>>();
            open.extend(names.into_iter().filter(|index| needed.insert(*index)));
            if needed.len() > STAGES_DEEP_MAX {
                return Err(refused(stage.line, format_args!("more than {STAGES_DEEP_MAX} stages")));
            }
        }
        Ok(needed.into_iter().collect())
    }

    /// A stage ahead of this one by its name or number.
    fn earlier(&self, index: usize, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.plan.stages.iter().take(index).position(|stage| stage.name == name)
    }

    async fn stage(&self, index: usize) -> Result<So, BaseError> {
        let stage = self.plan.stages.get(index).ok_or_else(|| refused(1, "a stage that is not there"))?;
        let mut so = self.from(index, stage).await?;
        let mut args = Variables::new();
        for step in &stage.steps {
            so = self.step(index, so, &mut args, step).await?;
        }
        Ok(so)
    }

    async fn from(&self, index: usize, stage: &Stage) -> Result<So, BaseError> {
        let name = filled(&stage.from, &self.global).map_err(|what| refused(stage.line, what))?;
        if let Some(platform) = &stage.platform {
            let platform = filled(platform, &self.global).map_err(|what| refused(stage.line, what))?;
            if Some(&platform) != self.global.get("TARGETPLATFORM") {
                return Err(refused(stage.line, format_args!("the platform `{platform}` is not this machine's")));
            }
        }
        if let Some(earlier) = self.earlier(index, &name) {
            let so = self.done.get(&earlier).cloned();
            return so.ok_or_else(|| refused(stage.line, "a stage that was not built"));
        }
        if name == "scratch" {
            let key = record::inputs("scratch", &[]);
            return Ok(So { layers: vec![], config: RunConfig::default(), key });
        }
        if name.is_empty() {
            return Err(refused_but(stage.line, "`FROM` has no image", "give the `ARG` in it a value"));
        }
        let Made { digest, layers, mut config, .. } = self.maker.pull_bare(&name, self.notes).await?;
        // Docker's own, so that `ENV PATH=/opt/bin:$PATH` means something in every image.
        config.env.entry("PATH".into()).or_insert_with(|| PATH.into());
        Ok(So { layers, config, key: digest })
    }

    async fn step(&self, stage: usize, mut so: So, args: &mut Variables, step: &Step) -> Result<So, BaseError> {
        let bad = |what: String| refused(step.line, what);
        let mut variables = args.clone();
        variables.extend(so.config.env.clone());
        let fill = |text: &str| filled(text, &variables).map_err(bad);
        let shell =
            if so.config.shell.is_empty() { SHELL.map(str::to_owned).to_vec() } else { so.config.shell.clone() };
        let in_shell = |program: &Program| match program {
            Program::Exec(words) => words.clone(),
            Program::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
        };
        match &step.kind {
            Kind::Env(text) => so.config.env.extend(pairs(text, &variables).map_err(bad)?),
            Kind::Label(text) => so.config.labels.extend(pairs(text, &variables).map_err(bad)?),
            Kind::Arg(text) => {
                let (name, default) = argument(text, &variables).map_err(bad)?;
                let given = self.wanted.args.get(&name).cloned().or(default);
                if let Some(value) = given.or_else(|| self.global.get(&name).cloned()) {
                    args.insert(name, value);
                }
            }
            Kind::User(user) => so.config.user = fill(user)?,
            Kind::Shell(words) => so.config.shell.clone_from(words),
            Kind::Expose(ports) => {
                for port in ports {
                    let port = fill(port)?;
                    so.config.exposed_ports.insert(if port.contains('/') { port } else { format!("{port}/tcp") });
                }
            }
            Kind::Volume(volumes) => {
                for volume in volumes {
                    so.config.volumes.insert(fill(volume)?);
                }
            }
            Kind::StopSignal(signal) => so.config.stop_signal = fill(signal)?,
            Kind::Cmd(program) => so.config.cmd = in_shell(program),
            Kind::Entrypoint(program) => {
                so.config.entrypoint = in_shell(program);
                so.config.cmd.clear();
            }
            Kind::Nothing(why) => (self.notes)(Note::Warning(format!("line {}: {why}", step.line))),
            Kind::Workdir(directory) => {
                let directory = fill(directory)?;
                so.config.working_dir = absolute(&so.config.working_dir, &directory);
                return self.directory(so, step).await;
            }
            Kind::Copy(copy) => {
                let to = fill(&copy.to)?;
                let sources = copy.sources.iter().map(|source| fill(source)).collect::<Result<_, _>>()?;
                let (owner, from) = (fill(&copy.owner)?, copy.from.clone());
                let copy = Copy { sources, to: absolute(&so.config.working_dir, &to), from, owner, mode: copy.mode };
                return self.copy(stage, so, step, copy).await;
            }
            Kind::Run(script) => {
                let command: Vec<String> = match script {
                    Script::Exec(words) => words.clone(),
                    Script::Shell(text) => shell.into_iter().chain([text.clone()]).collect(),
                };
                // What the environment says wins over arguments, as with docker.
                return self.execute(so, step, command, variables).await;
            }
        }
        Ok(so)
    }

    /// The step of this key, if it was carried out before.
    fn known(&self, so: &So, key: Digest) -> Result<Option<So>, BaseError> {
        let record = self.maker.recorded(key)?;
        Ok(record.map(|record| So { layers: record.made.layers, config: so.config.clone(), key }))
    }

    /// Writes down a step that was carried out, so that it is not again.
    fn keep(maker: &BaseMaker, so: &So, text: &str) -> Result<(), BaseError> {
        let made = Made {
            name: format!("dockerfile: {}", text.chars().take(150).collect::<String>()),
            digest: record::content(&so.layers, &so.config),
            layers: so.layers.clone(),
            config: so.config.clone(),
        };
        maker.record(&Record { inputs: so.key, made, packages: vec![], made_at_ms: record::now_ms() })
    }

    fn trees(&self, layers: &[LayerId]) -> Vec<PathBuf> {
        layers.iter().map(|layer| self.maker.store.tree(layer)).collect()
    }

    /// Makes the working directory, where it is missing.
    async fn directory(&self, so: So, step: &Step) -> Result<So, BaseError> {
        let layers = Merged::open(&self.trees(&so.layers), Owners::detect()).map_err(BaseError::host("layers"))?;
        let led = layers.follow(so.config.working_dir.as_ref()).map_err(BaseError::host(&so.config.working_dir))?;
        if led.lies.as_ref().is_some_and(crate::oci::layer::merged::Lies::is_directory) {
            return Ok(so);
        }
        let key = record::inputs("workdir", &[&so.key.to_string(), &so.config.working_dir]);
        if let Some(known) = self.known(&so, key)? {
            return Ok(known);
        }
        let (maker, text, directory) = (self.maker.clone(), step.text.clone(), so.config.working_dir.clone());
        let so = So { key, ..so };
        blocking(move || {
            let work = maker.work()?;
            let put = Put::new(&work.path().join("tree"), &layers, Owners::detect(), maker.settings.limits)?;
            put.directory(directory.as_ref(), Given { uid: 0, gid: 0, mode: None })?;
            Self::seal(&maker, put.finish()?, so, &text)
        })
        .await
    }

    fn seal(maker: &BaseMaker, tree: PathBuf, mut so: So, text: &str) -> Result<So, BaseError> {
        let layer = maker.store.seal(&tree, About::new(LayerKind::Base, text))?;
        let _held = maker.store.hold(&layer);
        so.layers.insert(0, layer);
        Self::keep(maker, &so, text)?;
        Ok(so)
    }

    async fn copy(&self, stage: usize, so: So, step: &Step, copy: Copy) -> Result<So, BaseError> {
        let owners = Owners::detect();
        let (from, ignore) = if copy.from.is_empty() {
            let context = Merged::open(std::slice::from_ref(&self.wanted.context), owners);
            (context.map_err(BaseError::host(&self.wanted.context))?, Arc::clone(&self.ignore))
        } else if let Some(earlier) = self.earlier(stage, &copy.from) {
            let so = self.done.get(&earlier).ok_or_else(|| refused(step.line, "a stage that was not built"))?;
            let trees = self.trees(&so.layers);
            (Merged::open(&trees, owners).map_err(BaseError::host("layers"))?, Arc::default())
        } else {
            let made = self.maker.pull_bare(&copy.from, self.notes).await?;
            let trees = self.trees(&made.layers);
            (Merged::open(&trees, owners).map_err(BaseError::host("layers"))?, Arc::default())
        };
        let below = Merged::open(&self.trees(&so.layers), owners).map_err(BaseError::host("layers"))?;
        let owner = User::find(&copy.owner, &below).map_err(|what| refused(step.line, what))?;
        let given = Given { uid: owner.uid, gid: owner.gid, mode: copy.mode };
        let (maker, text, notes, line) = (self.maker.clone(), step.text.clone(), Arc::clone(self.notes), step.line);
        blocking(move || {
            let from = From { files: &from, ignore: &ignore };
            let at_line = |error: BaseError| match error {
                BaseError::Unfit { what, instead } => refused_but(line, what, &instead),
                other => other,
            };
            let roots = from.roots(&copy.sources).map_err(at_line)?;
            let content = from.digest(&roots).map_err(at_line)?;
            let words = [so.key.to_string(), content.to_string(), copy.to.clone(), format!("{given:?}")];
            let key = record::inputs("copy", &words.each_ref().map(String::as_str));
            if let Some(record) = maker.recorded(key)? {
                return Ok(So { layers: record.made.layers, key, ..so });
            }
            notes(Note::Step(text.clone()));
            let work = maker.work()?;
            let mut put = Put::new(&work.path().join("tree"), &below, owners, maker.settings.limits)?;
            put.copy(&from, &roots, &copy.to, given).map_err(at_line)?;
            Self::seal(&maker, put.finish()?, So { key, ..so }, &text)
        })
        .await
    }

    /// Runs a command in a sandbox over the layers so far; what it changed is the next one.
    async fn execute(&self, so: So, step: &Step, command: Vec<String>, variables: Variables) -> Result<So, BaseError> {
        let below = Merged::open(&self.trees(&so.layers), Owners::detect()).map_err(BaseError::host("layers"))?;
        let user = User::find(&so.config.user, &below).map_err(|what| refused(step.line, what))?;
        let said = serde_json::to_string(&(&command, &variables, &so.config.working_dir, (user.uid, user.gid)));
        let key = record::inputs("run", &[&so.key.to_string(), &said.unwrap_or_default()]);
        if let Some(known) = self.known(&so, key)? {
            return Ok(known);
        }
        (self.notes)(Note::Step(step.text.clone()));
        let (account, command) = as_user(&user, command, &below).map_err(|what| refused(step.line, what))?;
        let work = self.maker.work()?;
        let session = work.path().join("sandbox");
        let name = format!("build-{}-{}", key.hex().chars().take(12).collect::<String>(), step.line);
        let mut spec = SandboxSpec::new(name, Root::tree(self.trees(&so.layers)), &session);
        spec.account = account;
        spec.env = variables;
        for (name, value) in [("HOME", &user.home), ("USER", &user.name), ("LOGNAME", &user.name)] {
            spec.env.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
        let held: Vec<_> = so.layers.iter().map(|layer| self.maker.store.hold(layer)).collect();
        let room = self.rooms.open(spec).await?;
        let cwd = if so.config.working_dir.is_empty() { "/" } else { &so.config.working_dir };
        let ran = self.ran(&room, &ExecSpec::argv(command).cwd(cwd).kill_leftovers(), step).await;
        room.sandbox.destroy().await;
        drop((room, held));
        ran?;
        let (maker, text) = (self.maker.clone(), step.text.clone());
        blocking(move || {
            let _work = work;
            Self::seal(&maker, session.join("upper"), So { key, ..so }, &text)
        })
        .await
    }

    async fn ran(&self, room: &Room, spec: &ExecSpec, step: &Step) -> Result<(), BaseError> {
        let spec = spec.clone().timeout_ms(u64::try_from(RUN_PATIENCE.as_millis()).unwrap_or(u64::MAX));
        let mut exec = room.sandbox.exec_stream(&spec).await?;
        let mut said: Vec<u8> = Vec::new();
        while let Some(chunk) = exec.next().await? {
            said.extend_from_slice(&chunk.bytes);
            if said.len() > 2 * SAID_BYTES {
                said.drain(..said.len() - SAID_BYTES);
            }
            (self.notes)(Note::Output(chunk.bytes.to_vec()));
        }
        let ended = exec.wait().await?;
        if ended.status.success() {
            return Ok(());
        }
        let why = match (ended.timed_out, ended.limit) {
            (true, _) => format!("it took longer than {} minutes", RUN_PATIENCE.as_secs() / 60),
            (_, Some(LimitHit::Memory)) => "it needed more memory than a build has".into(),
            (_, Some(LimitHit::Processes)) => "it made more processes than a build may have".into(),
            (_, Some(LimitHit::Disk)) => "it wrote more than a build may keep on disk".into(),
            (_, Some(LimitHit::HostDisk)) => "the disk is full; free some space, the build is tried again".into(),
            (_, None) => format!("{:?}", ended.status),
        };
        let from = said.len().saturating_sub(SAID_BYTES);
        let last = String::from_utf8_lossy(said.get(from..).unwrap_or_default()).into_owned();
        let what = format!("carry out line {} of the Dockerfile (`{}`)", step.line, step.text);
        Err(BaseError::Failed { what, said: format!("{why}\n{last}") })
    }
}

/// Who a sandbox's commands are, and what is put ahead of a command so that it is somebody else.
fn as_user(user: &User, command: Vec<String>, layers: &Merged) -> Result<(Account, Vec<String>), String> {
    match (user.uid, user.gid) {
        (0, _) => Ok((Account::Builder, command)),
        (1000, 1000) => Ok((Account::Agent, command)),
        (uid, gid) => {
            let there = ["usr/bin/setpriv", "bin/setpriv"]
                .iter()
                .any(|path| layers.follow(path.as_ref()).is_ok_and(|led| led.lies.is_some()));
            if !there {
                return Err(format!(
                    "`RUN` as user {uid} needs `setpriv` (util-linux) in the image; install it, or use user 1000"
                ));
            }
            let ahead = [
                "setpriv".to_owned(),
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                "--".into(),
            ];
            Ok((Account::Builder, ahead.into_iter().chain(command).collect()))
        }
    }
}

/// `name` or `name=default`.
fn argument(text: &str, variables: &Variables) -> Result<(String, Option<String>), String> {
    if !text.contains('=') {
        return Ok((text.trim().to_owned(), None));
    }
    let mut pairs = pairs(text, variables)?;
    match (pairs.pop(), pairs.is_empty()) {
        (Some((name, value)), true) => Ok((name, Some(value))),
        _ => Err(format!("`ARG {text}` has several names; write a line for each")),
    }
}

fn absolute(working_dir: &str, path: &str) -> String {
    match (path.starts_with('/'), working_dir) {
        (true, _) => path.to_owned(),
        (false, "") => format!("/{path}"),
        (false, working_dir) => format!("{}/{path}", working_dir.trim_end_matches('/')),
    }
}

/// What every Dockerfile may ask for with `ARG`.
fn platform_variables() -> Variables {
    let architecture = crate::oci::config::architecture();
    let platform = format!("linux/{architecture}");
    let variables = [
        ("TARGETPLATFORM", platform.as_str()),
        ("BUILDPLATFORM", platform.as_str()),
        ("TARGETOS", "linux"),
        ("BUILDOS", "linux"),
        ("TARGETARCH", architecture),
        ("BUILDARCH", architecture),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
