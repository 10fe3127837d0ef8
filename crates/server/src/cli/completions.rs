//! `hangar completions`: the shell completes commands and flags.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{
    Cli,
    ended::{Ended, Outcome},
    terminal::Terminal,
};

/// Print a script that lets your shell complete hangar's commands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hangar completions bash > ~/.local/share/bash-completion/completions/hangar
  hangar completions zsh > \"${fpath[1]}/_hangar\"
  hangar completions fish > ~/.config/fish/completions/hangar.fish")]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn carry_out(self, terminal: &mut Terminal) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "hangar", &mut script);
        terminal.text(&String::from_utf8_lossy(&script))?;
        Ok(Ended::Well)
    }
}
