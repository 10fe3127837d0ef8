//! The command line. One file per command.
//!
//! Architecture invariant: a command knows the server through `hangar-client` alone, so that whatever it does, a script can
//! do over HTTP. Commands that are about this machine and not about a server are the exception: `up`, `doctor`, `source`, and `backup`, `restore`, `check` and
//! `rebuild`, which work with and without one.

mod acp;
mod allow;
mod attach;
mod attempts;
mod backup;
mod bench;
mod browser;
mod budget;
mod check;
mod completions;
mod diff;
mod doctor;
mod ended;
mod eval;
mod exchange;
mod export;
mod follow;
mod fork;
mod go_on;
mod image;
mod invite;
mod keyboard;
mod link;
mod login;
mod mcp;
mod members;
mod own_server;
mod pool;
mod pr;
mod progress;
mod queue;
mod rebuild;
mod repo;
mod restore;
mod resume;
mod retry;
mod rewind;
mod run;
mod sessions;
mod shelf;
mod source;
mod stop;
mod table;
mod terminal;
mod timeline;
pub(crate) use timeline::Story;
pub(crate) use words::call as call_in_words;
mod token;
mod up;
mod user;
mod which_repo;
pub(crate) use which_repo::repo_of;
mod which_session;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hangar_client::{Client, Settings};
use hangar_protocol::{Refusal, RefusalCode};

use ended::{Failure, Outcome};
use terminal::Terminal;

/// hangar hosts coding agents: type a wish, watch an agent work on it in a sandbox, merge the pull request it ends with.
#[derive(Debug, Parser)]
#[command(name = "hangar", version, arg_required_else_help = true, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    /// Print JSON for programs: one object or array; `run` and `attach` print one event a line.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hangar up                                        start everything on this machine
  hangar repo add https://github.com/acme/website  bring a repository in
  hangar run \"make the tests pass\"                 a session on this directory's repository
  hangar pr k3x9 --merge                           merge what it made

A command finds its server in HANGAR_URL and HANGAR_TOKEN, else in ~/.config/hangar/client.toml,
which `hangar up` and `hangar login` write. Exit statuses are listed in docs/cli.md.";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Run(run::Run),
    Attach(attach::Attach),
    Sessions(sessions::Sessions),
    Stop(stop::Stop),
    Resume(resume::Resume),
    Queue(queue::Queue),
    Fork(fork::Fork),
    Rewind(rewind::Rewind),
    Attempts(attempts::Attempts),
    Invite(invite::Invite),
    Join(invite::Join),
    Members(members::Members),
    Visibility(members::VisibilityOf),
    Archive(shelf::Archive),
    Unarchive(shelf::Unarchive),
    Delete(shelf::Delete),
    Undelete(shelf::Undelete),
    Continue(go_on::Continue),
    Retry(retry::Retry),
    Budget(budget::Budget),
    Allow(allow::Allow),
    Diff(diff::Diff),
    Export(export::Export),
    Pr(pr::Pr),
    Repo(repo::Repo),
    Image(image::Image),
    Pool(pool::Pool),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Check(check::Check),
    Rebuild(rebuild::Rebuild),
    Doctor(doctor::Doctor),
    Source(source::Source),
    Bench(bench::Bench),
    Eval(eval::Eval),
    Mcp(mcp::Mcp),
    Acp(acp::Acp),
    Login(login::Login),
    Link(link::Link),
    Token(token::Token),
    User(user::User),
    Completions(completions::Completions),
}

/// Reads the arguments, carries the command out, and gives the exit status.
pub fn main() -> ExitCode {
    crate::memory::share();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are not failures; clap prints each where it belongs. A closed pipe changes nothing about it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { RefusalCode::BadRequest.exit_status() } else { 0 });
        }
    };
    let mut terminal = Terminal::of_process(cli.json);
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(cli.command.carry_out(&mut terminal));
            // A thread that waits for a line on standard input must not keep the program alive.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::Output(error)),
    };
    match outcome {
        Ok(ended) => ExitCode::from(ended.exit_status()),
        Err(failure) => terminal.tell_failure(&failure),
    }
}

impl Command {
    async fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        match self {
            Self::Up(up) => up.carry_out(terminal).await,
            Self::Run(run) => run.carry_out(terminal).await,
            Self::Attach(attach) => attach.carry_out(terminal).await,
            Self::Sessions(sessions) => sessions.carry_out(terminal).await,
            Self::Stop(stop) => stop.carry_out(terminal).await,
            Self::Resume(resume) => resume.carry_out(terminal).await,
            Self::Queue(queue) => queue.carry_out(terminal).await,
            Self::Fork(fork) => fork.carry_out(terminal).await,
            Self::Rewind(rewind) => rewind.carry_out(terminal).await,
            Self::Attempts(attempts) => attempts.carry_out(terminal).await,
            Self::Invite(invite) => invite.carry_out(terminal).await,
            Self::Join(join) => join.carry_out(terminal).await,
            Self::Members(members) => members.carry_out(terminal).await,
            Self::Visibility(visibility) => visibility.carry_out(terminal).await,
            Self::Archive(archive) => archive.carry_out(terminal).await,
            Self::Unarchive(unarchive) => unarchive.carry_out(terminal).await,
            Self::Delete(delete) => delete.carry_out(terminal).await,
            Self::Undelete(undelete) => undelete.carry_out(terminal).await,
            Self::Continue(go_on) => go_on.carry_out(terminal).await,
            Self::Retry(retry) => retry.carry_out(terminal).await,
            Self::Budget(budget) => budget.carry_out(terminal).await,
            Self::Allow(allow) => allow.carry_out(terminal).await,
            Self::Diff(diff) => diff.carry_out(terminal).await,
            Self::Export(export) => export.carry_out(terminal).await,
            Self::Pr(pr) => pr.carry_out(terminal).await,
            Self::Repo(repo) => repo.carry_out(terminal).await,
            Self::Image(image) => image.carry_out(terminal).await,
            Self::Pool(pool) => pool.carry_out(terminal).await,
            Self::Backup(backup) => backup.carry_out(terminal).await,
            Self::Restore(restore) => restore.carry_out(terminal).await,
            Self::Check(check) => check.carry_out(terminal).await,
            Self::Rebuild(rebuild) => rebuild.carry_out(terminal).await,
            Self::Doctor(doctor) => doctor.carry_out(terminal).await,
            Self::Source(source) => source.carry_out(terminal).await,
            Self::Bench(bench) => bench.carry_out(terminal).await,
            Self::Eval(eval) => eval.carry_out(terminal).await,
            Self::Mcp(mcp) => mcp.carry_out(terminal).await,
            Self::Acp(acp) => acp.carry_out(terminal).await,
            Self::Login(login) => login.carry_out(terminal).await,
            Self::Link(link) => link.carry_out(terminal).await,
            Self::Token(token) => token.carry_out(terminal).await,
            Self::User(user) => user.carry_out(terminal).await,
            Self::Completions(completions) => completions.carry_out(terminal),
        }
    }
}

/// The server this terminal talks to, and as whom.
fn connect() -> Result<Client, Failure> {
    let server = Settings::discover()?;
    Ok(Client::new(&server.url, server.token)?)
}

/// A refusal of the command line itself: the words were understood and do not fit.
fn bad_request(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Refusal::new(RefusalCode::BadRequest, message, hint).into()
}
