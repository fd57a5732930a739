//! The command line: connects all modules, prints, and knows exit statuses. No other module prints
//! or exits.
//!
//! To add a command, add a file beside this one with its `Args` (clap) and `pub(super) fn run(args:
//! &Args, global: &Global) -> Result<(), Failure>`, a variant of `Command` and its line in `run`.
//! Results go to standard output through [`Terminal::print`]; messages about them go to standard
//! error.

#![allow(clippy::disallowed_methods, reason = "edge: the environment, the terminal and the clock are read here")]

mod bake;
mod bakes;
mod base;
mod completions;
mod diff;
mod emulate;
mod error;
mod escape;
mod explain;
mod gc;
mod import;
mod init;
mod lock;
mod man;
mod options;
mod project;
mod project_lint;
mod redaction;
mod render;
mod resume;
mod rules;
mod runtime;
mod schema;
mod show;
mod terminal;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::{ErrorKind, ExitStatus, ExpectedError, Failure};
pub use options::Global;
pub use terminal::{Color, Format, Terminal};

use options::GlobalOptions;

/// The commands, in the order of `mkimg --help`.
///
/// `defer`: clap learns a command's arguments when the command is called. Describing all of them
/// takes longer than checking a document.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Create a new project: an example template with files, scripts and a fixture
    Init(init::Args),
    /// Print the user-data document of a template
    Render(render::Args),
    /// Check user-data documents offline: the verdict of `cloud-init schema`, and more
    ///
    /// Without a PATH, checks the project: its template, files and scripts, and the document
    /// rendered from them.
    Validate(validate::Args),
    /// Compare what is rendered with fixtures/ or with a revision, or two documents with each other
    ///
    /// A case is a directory fixtures/CASE/ with variables.yaml, user-data.yaml or both. Each case
    /// is rendered with its variables and compared byte for byte; differences are shown with
    /// contents decoded. Its bake.yaml holds what a bake uses beside the document. If the case's
    /// directory has a mkimg.lock, it is used instead of the project's, so that new pins do not
    /// change the expected document.
    Diff(diff::Args),
    /// Print a cloud-config decoded: its keys, then each file with its owner and mode
    ///
    /// A gzip is decompressed first. Other kinds of user-data are printed as they are.
    ///
    /// To see fixtures this way in `git diff` and `git log -p`: git config diff.mkimg.textconv 'mkimg show'
    Show(show::Args),
    /// Pin the sha256 of every artifact in mkimg.lock
    Lock(lock::Args),
    /// Convert a Packer template (JSON or HCL2) into a project: image template, files, scripts
    ///
    /// Anything that cannot be converted is reported with its line, and the exit status is then 1.
    /// The Packer template itself is not changed.
    Import(import::Args),
    /// Bake an image: render, validate, build on a droplet, check the result, take a snapshot
    Bake(bake::Args),
    /// List the bakes started from here, and the resources that bakes left in the account
    Bakes(bakes::Args),
    /// Continue a bake whose process was killed, or whose last steps failed
    Resume(resume::Args),
    /// Destroy resources that bakes left in the account
    Gc(gc::Args),
    /// Build, download and list base images for local droplets, by DigitalOcean slug
    Base(base::Args),
    /// Serve DigitalOcean's API on this machine, with QEMU virtual machines as droplets
    Emulate(emulate::Args),
    /// List the rules of the linter
    Rules(rules::Args),
    /// Show one rule: what it finds, why it matters, and an example
    Explain(explain::Args),
    /// Print the JSON Schema of the image template, for editors
    Schema(schema::Args),
    /// Print the completions for a shell
    Completions(completions::Args),
    /// Write man pages, one for each command, into a directory
    Man(man::Args),
}

impl Command {
    fn run(&self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Init(args) => init::run(args, global),
            Self::Render(args) => render::run(args, global),
            Self::Validate(args) => validate::run(args, global),
            Self::Diff(args) => diff::run(args, global),
            Self::Show(args) => show::run(args, global),
            Self::Lock(args) => lock::run(args, global),
            Self::Import(args) => import::run(args, global),
            Self::Bake(args) => bake::run(args, global),
            Self::Bakes(args) => bakes::run(args, global),
            Self::Resume(args) => resume::run(args, global),
            Self::Gc(args) => gc::run(args, global),
            Self::Base(args) => base::run(args, global),
            Self::Emulate(args) => emulate::run(args, global),
            Self::Rules(args) => rules::run(args, global),
            Self::Explain(args) => explain::run(args, global),
            Self::Schema(args) => schema::run(args, global),
            Self::Completions(args) => completions::run(args, global),
            Self::Man(args) => man::run(args, global),
        }
    }
}

/// Compile files and scripts into one cloud-init user-data document, check it offline, and bake a
/// machine image with it.
#[derive(Debug, Parser)]
#[command(name = "mkimg", version, propagate_version = false, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 a finding; 2 wrong usage, unreadable input or another error; 3 a bake failed \
                        and nothing remains; 4 it failed and resources remain; 130 interrupted."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: GlobalOptions,
}

/// Runs one command line; prints its messages and returns its exit status.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    runtime::forbid_core_dumps();
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // A wrong usage quotes words, which may be names of files in an untrusted directory.
            let (terminal, text) = (Terminal::new(Color::Auto, false, 0), error.render().ansi().to_string());
            if !error.use_stderr() && terminal.print_styled(&text).is_ok() {
                return ExitCode::SUCCESS;
            }
            if error.use_stderr() {
                terminal.eprint_styled(&text);
            }
            return ExitCode::from(ExitStatus::Error as u8);
        }
    };
    let global = Global::from(line.options);
    match line.command.run(&global).and_then(|()| global.terminal.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(&global.terminal);
            ExitCode::from(failure.exit_status() as u8)
        }
    }
}

/// The whole command line as clap describes it, for completions and man pages.
fn description() -> clap::Command {
    CommandLine::command()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::CommandLine;

    /// clap keeps arguments by name: a command's own `directory` must not be taken for `-C`.
    #[test]
    fn an_argument_of_a_command_is_not_a_common_option() {
        for command in ["init", "man"] {
            let line = CommandLine::parse_from(["mkimg", command, "somewhere"]);
            assert_eq!(line.options.directory, None, "{command}");
        }
        let line = CommandLine::parse_from(["mkimg", "-C", "here", "init", "there"]);
        assert_eq!(line.options.directory.as_deref(), Some(std::path::Path::new("here")));
    }

    #[test]
    fn clap_accepts_the_command_line() {
        super::description().debug_assert();
    }

    /// The doc comment of a flattened group of options must not replace the command's own text.
    #[test]
    fn help_begins_with_the_text_of_the_command_list() {
        let commands = CommandLine::command();
        for command in commands.get_subcommands() {
            for words in [["mkimg", command.get_name(), "-h"], ["mkimg", "help", command.get_name()]] {
                let help = CommandLine::command().try_get_matches_from(words).unwrap_err().to_string();
                let about = command.get_about().unwrap().to_string();
                assert!(help.starts_with(&about), "{words:?}: {help}");
            }
        }
    }
}
