//! What a Dockerfile says, read and checked before anything runs.

use parse_dockerfile::{Command, Instruction, JsonOrStringArray, Source, parse};

use crate::base::{BaseError, dockerfile::words::joined};

/// What to do with a Dockerfile that has something hangar does not do.
pub(super) const INSTEAD: &str = "leave it out, or build the image with `docker build`, keep it with `docker save` and name that file as the recipe's `archive`";

/// Instructions of one Dockerfile; each may become a layer.
const STEPS_MAX: usize = 300;

/// How much of an instruction is told and written into an image's history, in characters.
const TEXT_CHARS_MAX: usize = 2000;

/// A Dockerfile.
#[derive(Debug)]
pub(super) struct Plan {
    /// `ARG`s ahead of the first `FROM`.
    pub global_args: Vec<String>,
    pub stages: Vec<Stage>,
}

/// From one `FROM` to the next.
#[derive(Debug)]
pub(super) struct Stage {
    pub line: usize,
    /// What it begins with, variables not filled in.
    pub from: String,
    pub platform: Option<String>,
    /// Its name, or its number where it has none.
    pub name: String,
    pub steps: Vec<Step>,
}

/// An instruction.
#[derive(Debug)]
pub(super) struct Step {
    pub line: usize,
    /// As it is written, for people and for the image's history.
    pub text: String,
    pub kind: Kind,
}

/// What an instruction does. Texts have their variables not filled in.
#[derive(Debug)]
pub(super) enum Kind {
    Run(Script),
    Copy(Copy),
    Env(String),
    Arg(String),
    Label(String),
    Workdir(String),
    User(String),
    Shell(Vec<String>),
    Expose(Vec<String>),
    Cmd(Program),
    Entrypoint(Program),
    Volume(Vec<String>),
    StopSignal(String),
    /// Means nothing to a sandbox, or is of old.
    Nothing(&'static str),
}

/// What `RUN` runs.
#[derive(Debug)]
pub(super) enum Script {
    Shell(String),
    Exec(Vec<String>),
}

/// A program of `CMD` or `ENTRYPOINT`.
#[derive(Debug)]
pub(super) enum Program {
    Shell(String),
    Exec(Vec<String>),
}

/// `COPY` and `ADD`.
#[derive(Debug)]
pub(super) struct Copy {
    pub sources: Vec<String>,
    pub to: String,
    /// A stage; empty for the context.
    pub from: String,
    /// `user:group`; empty for root.
    pub owner: String,
    pub mode: Option<u32>,
}

impl Plan {
    pub(super) fn read(text: &str) -> Result<Self, BaseError> {
        let parsed = parse(text)
            .map_err(|error| BaseError::unfit(format!("the Dockerfile cannot be read: {error}"), "correct the line"))?;
        let escape = parsed.parser_directives.escape.as_ref().map_or('\\', |escape| escape.value.value);
        let reader = Reader { text, escape };
        let global_args = parsed.global_args().map(|arg| arg.arguments.value.to_string()).collect();
        let stages = parsed.stages().enumerate().map(|(index, stage)| reader.stage(index, &stage));
        let stages: Vec<_> = stages.collect::<Result<_, _>>()?;
        let steps: usize = stages.iter().map(|stage| stage.steps.len()).sum();
        if steps > STEPS_MAX {
            let what = format!("the Dockerfile has {steps} instructions, more than {STEPS_MAX}");
            return Err(BaseError::unfit(what, "join some of them"));
        }
        Ok(Self { global_args, stages })
    }
}

/// Refuses something at a line.
pub(super) fn refused(line: usize, what: impl std::fmt::Display) -> BaseError {
    refused_but(line, what, INSTEAD)
}

pub(super) fn refused_but(line: usize, what: impl std::fmt::Display, instead: &str) -> BaseError {
    BaseError::unfit(format!("line {line} of the Dockerfile: {what}"), instead)
}

struct Reader<'a> {
    text: &'a str,
    escape: char,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
    }

    fn stage(&self, index: usize, stage: &parse_dockerfile::Stage<'_, '_>) -> Result<Stage, BaseError> {
        let from = stage.from;
        let line = self.line(from.from.span.start);
        let mut platform = None;
        for flag in &from.options {
            match (&*flag.name.value, &flag.value) {
                ("platform", Some(value)) => platform = Some(value.value.to_string()),
                (name, _) => return Err(refused(line, format_args!("`FROM --{name}` is not supported"))),
            }
        }
        let name = from.as_.as_ref().map_or_else(|| index.to_string(), |(_, name)| name.value.to_lowercase());
        let steps = stage.instructions.iter().map(|instruction| self.step(instruction)).collect::<Result<_, _>>()?;
        Ok(Stage { line, from: from.image.value.to_string(), platform, name, steps })
    }

    fn step(&self, instruction: &Instruction<'_>) -> Result<Step, BaseError> {
        let strings = |strings: &[parse_dockerfile::UnescapedString<'_>]| -> Vec<String> {
            strings.iter().map(|string| string.value.to_string()).collect()
        };
        let at = |keyword: &parse_dockerfile::Keyword| (self.line(keyword.span.start), keyword.span.start);
        let ((line, start), kind) = match instruction {
            Instruction::Run(run) => {
                let (line, start) = at(&run.run);
                if let Some(flag) = run.options.first() {
                    return Err(refused(line, format_args!("`RUN --{}` is not supported", flag.name.value)));
                }
                ((line, start), Kind::Run(self.script(line, run)?))
            }
            Instruction::Copy(copy) => {
                let place = at(&copy.copy);
                (place, Kind::Copy(self.copy(place.0, "COPY", &copy.options, &copy.src, &copy.dest.value)?))
            }
            Instruction::Add(add) => {
                let place = at(&add.add);
                let copy = self.copy(place.0, "ADD", &add.options, &add.src, &add.dest.value)?;
                if let Some(source) = copy.sources.iter().find(|source| !is_plain(source)) {
                    let what = format!("`ADD {source}` fetches or unpacks, which is not supported");
                    let instead = "write `COPY`, and unpack or fetch with `RUN` (what a build may reach is in the recipe's `network`)";
                    return Err(refused_but(place.0, what, instead));
                }
                (place, Kind::Copy(copy))
            }
            Instruction::Env(env) => (at(&env.env), Kind::Env(env.arguments.value.to_string())),
            Instruction::Arg(arg) => (at(&arg.arg), Kind::Arg(arg.arguments.value.to_string())),
            Instruction::Label(label) => (at(&label.label), Kind::Label(label.arguments.value.to_string())),
            Instruction::Workdir(workdir) => (at(&workdir.workdir), Kind::Workdir(workdir.arguments.value.to_string())),
            Instruction::User(user) => (at(&user.user), Kind::User(user.arguments.value.to_string())),
            Instruction::Shell(shell) => (at(&shell.shell), Kind::Shell(strings(&shell.arguments))),
            Instruction::Expose(expose) => (at(&expose.expose), Kind::Expose(strings(&expose.arguments))),
            Instruction::Stopsignal(signal) => {
                (at(&signal.stopsignal), Kind::StopSignal(signal.arguments.value.to_string()))
            }
            Instruction::Volume(volume) => {
                let volumes = match &volume.arguments {
                    JsonOrStringArray::Json(array) => strings(&array.value),
                    JsonOrStringArray::String(array) => strings(array),
                };
                (at(&volume.volume), Kind::Volume(volumes))
            }
            Instruction::Cmd(cmd) => (at(&cmd.cmd), Kind::Cmd(self.program(&cmd.arguments))),
            Instruction::Entrypoint(entrypoint) => {
                (at(&entrypoint.entrypoint), Kind::Entrypoint(self.program(&entrypoint.arguments)))
            }
            Instruction::Healthcheck(check) => {
                (at(&check.healthcheck), Kind::Nothing("`HEALTHCHECK` is not heeded; declare a service in the recipe"))
            }
            Instruction::Maintainer(maintainer) => {
                (at(&maintainer.maintainer), Kind::Nothing("`MAINTAINER` is of old and not kept"))
            }
            Instruction::Onbuild(onbuild) => {
                return Err(refused(self.line(onbuild.onbuild.span.start), "`ONBUILD` is not supported"));
            }
            Instruction::From(from) => {
                return Err(refused(self.line(from.from.span.start), "a `FROM` where none can be"));
            }
            _ => return Err(refused(0, "an instruction that hangar does not know")),
        };
        let rest: String = self.text.get(start..).unwrap_or_default().chars().take(TEXT_CHARS_MAX).collect();
        let text = joined(&rest, self.escape).lines().next().unwrap_or_default().to_owned();
        Ok(Step { line, text, kind })
    }

    fn script(&self, line: usize, run: &parse_dockerfile::RunInstruction<'_>) -> Result<Script, BaseError> {
        match (&run.arguments, run.here_docs.as_slice()) {
            (Command::Exec(words), _) => {
                Ok(Script::Exec(words.value.iter().map(|word| word.value.to_string()).collect()))
            }
            (Command::Shell(text), []) => Ok(Script::Shell(joined(text.value, self.escape))),
            (Command::Shell(rest), [document]) if rest.value.trim().is_empty() => {
                Ok(Script::Shell(document.value.to_string()))
            }
            (Command::Shell(_), _) => {
                Err(refused(line, "a here-document that is not the whole command is not supported"))
            }
            (_, _) => Err(refused(line, "a form of `RUN` that hangar does not know")),
        }
    }

    fn program(&self, command: &Command<'_>) -> Program {
        match command {
            Command::Exec(words) => Program::Exec(words.value.iter().map(|word| word.value.to_string()).collect()),
            Command::Shell(text) => Program::Shell(joined(text.value, self.escape)),
            _ => Program::Exec(Vec::new()),
        }
    }

    fn copy(
        &self,
        line: usize,
        word: &str,
        options: &[parse_dockerfile::Flag<'_>],
        sources: &[Source<'_>],
        to: &str,
    ) -> Result<Copy, BaseError> {
        let mut copy =
            Copy { sources: vec![], to: to.to_owned(), from: String::new(), owner: String::new(), mode: None };
        for flag in options {
            let value = flag.value.as_ref().map(|value| value.value.to_string()).unwrap_or_default();
            match &*flag.name.value {
                "from" => copy.from = value,
                "chown" => copy.owner = value,
                // Only about how a cache is used.
                "link" => {}
                "chmod" => {
                    let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o777);
                    copy.mode = Some(mode.ok_or_else(|| {
                        refused_but(line, format_args!("`--chmod={value}` is no mode"), "write it as `--chmod=755`")
                    })?);
                }
                name => return Err(refused(line, format_args!("`{word} --{name}` is not supported"))),
            }
        }
        for source in sources {
            match source {
                Source::Path(path) => copy.sources.push(path.value.to_string()),
                Source::HereDoc(_) => {
                    let instead = "put the text into a file of the repository, or write it with `RUN`";
                    return Err(refused_but(
                        line,
                        format_args!("`{word}` of a here-document is not supported"),
                        instead,
                    ));
                }
                _ => return Err(refused(line, format_args!("a source of `{word}` that hangar does not know"))),
            }
        }
        Ok(copy)
    }
}

/// Whether `ADD` of it is the same as `COPY` of it.
fn is_plain(source: &str) -> bool {
    let archives = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"];
    !source.contains("://") && !source.starts_with("git@") && !archives.iter().any(|end| source.ends_with(end))
}
