//! The command line: composes all rooms, prints, and knows exit statuses. No other room does either.
//!
//! To add a command, add a file beside this one with its `Args` (clap) and
//! `pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure>`, a `mod` line and its lines in `commands!`.
//! Results go to standard output through [`Terminal::print`]; everything said about them goes to standard error.

#![allow(clippy::disallowed_methods, reason = "edge: the environment, the terminal and the clock are read here")]

mod bake;
mod bakes;
mod base;
mod completions;
mod contents;
mod diff;
mod emulate;
mod explain;
mod failure;
mod gc;
mod import;
mod init;
mod interrupted;
mod judgement;
mod limit;
mod lock;
mod man;
mod project;
mod redaction;
mod render;
mod resume;
mod rules;
mod schema;
mod terminal;
mod validate;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args as _, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use failure::{Failure, Status};
pub use terminal::{Color, Terminal};

/// Lists the commands, in the order in which `mkimg --help` shows them: what help says of it, module, variant. The module's name is
/// the command's.
///
/// A command's arguments are described to clap when it is called, and not before: to describe all of them took longer than to judge a
/// document.
macro_rules! commands {
    ($($(#[doc = $about:literal])+ $module:ident $variant:ident;)*) => {
        #[derive(Debug)]
        enum Command {
            $($variant($module::Args),)*
        }

        impl Command {
            fn run(&self, global: &Global) -> Result<(), Failure> {
                match self {
                    $(Self::$variant(args) => $module::run(args, global),)*
                }
            }
        }

        $(impl $module::Args {
            /// What help says of the command.
            fn about(command: clap::Command) -> clap::Command {
                $(#[doc = $about])+
                #[derive(clap::Args)]
                #[group(skip)]
                struct About {}
                About::augment_args(command)
            }

            /// That at the end: what is said of a group of options would stand in its place.
            fn whole(command: clap::Command) -> clap::Command {
                Self::about(Self::augment_args(command))
            }
        })*

        impl Command {
            /// All commands with all of their arguments, at once.
            fn all(program: clap::Command) -> clap::Command {
                program$(.mut_subcommand(stringify!($module), |deferred| {
                    let place = deferred.get_display_order();
                    $module::Args::whole(clap::Command::new(stringify!($module))).display_order(place)
                }))*
            }
        }

        impl Subcommand for Command {
            fn augment_subcommands(program: clap::Command) -> clap::Command {
                program$(.subcommand(
                    $module::Args::about(clap::Command::new(stringify!($module))).defer($module::Args::whole)
                ))*
            }

            fn augment_subcommands_for_update(program: clap::Command) -> clap::Command {
                Self::augment_subcommands(program)
            }

            fn has_subcommand(name: &str) -> bool {
                [$(stringify!($module)),*].contains(&name)
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let (name, matches) = matches.subcommand().unwrap_or(("", matches));
                $(if name == stringify!($module) {
                    return $module::Args::from_arg_matches(matches).map(Self::$variant);
                })*
                Err(clap::Error::new(ErrorKind::MissingSubcommand))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

commands! {
    /// Creates a new project: an example template with files, scripts and a fixture
    init Init;
    /// Prints the user-data document that a template becomes
    render Render;
    /// Judges user-data documents offline: the verdict of `cloud-init schema`, and more
    ///
    /// Without a PATH, judges the project: its template, files and scripts, and the document that they become.
    validate Validate;
    /// Compares the rendered document with fixtures/, or two documents with each other
    ///
    /// A case is a directory fixtures/CASE/ with variables.yaml, user-data.yaml or both. Each case is rendered with its
    /// variables and compared byte for byte; differences are shown with payloads decoded. A mkimg.lock in the case's directory
    /// is used instead of the project's, so that new pins need not change what is expected.
    diff Diff;
    /// Pins the sha256 of every artifact in mkimg.lock
    lock Lock;
    /// Turns a Packer template (JSON or HCL2) into a project: image template, files, scripts
    ///
    /// Every part that has no counterpart in mkimg is reported at its line, and the exit status is 1 while something would be
    /// missing. The Packer template itself stays as it is.
    import Import;
    /// Bakes an image: renders, validates, builds on a droplet, has the result checked, snapshots it
    bake Bake;
    /// Lists the bakes started from here, and what bakes have left in the account
    bakes Bakes;
    /// Continues a bake whose process was killed, or that could not do its last steps
    resume Resume;
    /// Destroys what bakes have left in the account
    gc Gc;
    /// Makes, downloads and lists base images for local droplets, by DigitalOcean slug
    base Base;
    /// Serves DigitalOcean's API on this machine, with QEMU virtual machines as droplets
    emulate Emulate;
    /// Lists the validator's rules
    rules Rules;
    /// Shows one rule: what it finds, why it matters, and an example
    explain Explain;
    /// Prints the JSON Schema of the image template, for editors
    schema Schema;
    /// Prints a shell's completions
    completions Completions;
    /// Writes man pages, one for each command, into a directory
    man Man;
}

/// Compiles files and scripts into one cloud-init user-data document, judges it offline, and bakes a machine image with it.
#[derive(Debug, Parser)]
#[command(name = "mkimg", version, propagate_version = false, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done; 1 a finding; 2 usage error or unreadable input; 3 a bake failed and nothing is \
                        left; 4 it failed and something is left; 130 interrupted."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: GlobalOptions,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
struct GlobalOptions {
    /// The project's directory; other paths on the command line are relative to it
    #[arg(id = "project_directory", short = 'C', value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    /// Set a variable of the template; the last value wins
    #[arg(id = "global_variables", long = "var", value_name = "NAME=VALUE", global = true)]
    variables: Vec<String>,
    /// Set variables from a YAML or JSON file; later files win, and --var wins over files
    #[arg(id = "global_variable_files", long = "var-file", value_name = "FILE", global = true)]
    variable_files: Vec<PathBuf>,
    /// When to colour output: `auto` does so on a terminal unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, global = true)]
    color: Color,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; -vv says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// How findings are written: `--format`, in the commands that have findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Human,
    Json,
    Github,
    Sarif,
}

impl From<Format> for crate::diag::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Human => Self::Human,
            Format::Json => Self::Json,
            Format::Github => Self::Github,
            Format::Sarif => Self::Sarif,
        }
    }
}

/// What every command gets: the common options, and the terminal to speak through.
#[derive(Debug)]
pub struct Global {
    /// `-C`, if given.
    pub directory: Option<PathBuf>,
    /// `--var`, as given: `NAME=VALUE`.
    pub variables: Vec<String>,
    /// `--var-file`, in order, already relative to `-C`.
    pub variable_files: Vec<PathBuf>,
    pub terminal: Terminal,
}

impl Global {
    /// For work on one project, whatever the command line says: no variables, quiet.
    fn of_project(directory: &Path) -> Self {
        let terminal = Terminal::new(Color::Auto, true, 0);
        Self { directory: Some(directory.to_path_buf()), variables: Vec::new(), variable_files: Vec::new(), terminal }
    }

    /// A path of the command line, as seen from `-C` (as `git -C` and `make -C` do).
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.directory.as_ref().map_or_else(|| path.to_path_buf(), |directory| directory.join(path))
    }
}

/// Runs one command line; returns its exit status, having printed what there is to say.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // clap knows its own stream; one that nobody reads any more is as good as read.
            let printed = error.print().or_else(|error| match error.kind() {
                std::io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error),
            });
            let good = printed.is_ok() && !error.use_stderr();
            return ExitCode::from(if good { 0 } else { Status::Usage as u8 });
        }
    };
    let options = line.options;
    let terminal = Terminal::new(options.color, options.quiet, options.verbose);
    let directory = options.directory;
    let variable_files = options.variable_files.iter().map(|file| match &directory {
        Some(directory) => directory.join(file),
        None => file.clone(),
    });
    let global = Global { variable_files: variable_files.collect(), directory, variables: options.variables, terminal };
    match line.command.run(&global).and_then(|()| global.terminal.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.show(&global.terminal);
            ExitCode::from(failure.status() as u8)
        }
    }
}

/// The whole command line as clap describes it: completions and man pages are made from it.
fn description() -> clap::Command {
    Command::all(CommandLine::command())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    /// clap keeps arguments by name: a command's own `directory` must not be taken for `-C`.
    #[test]
    fn an_argument_of_a_command_is_not_a_common_option() {
        for command in ["init", "man"] {
            let line = super::CommandLine::parse_from(["mkimg", command, "somewhere"]);
            assert_eq!(line.options.directory, None, "{command}");
        }
        let line = super::CommandLine::parse_from(["mkimg", "-C", "here", "init", "there"]);
        assert_eq!(line.options.directory.as_deref(), Some(std::path::Path::new("here")));
    }

    #[test]
    fn clap_accepts_the_command_line() {
        super::description().debug_assert();
    }

    /// What is described when it is called has the help of what is described at once, for completions and man pages.
    #[test]
    fn help_is_the_same_whenever_arguments_are_described() {
        let help = |line: clap::Command, words: &[&str]| line.try_get_matches_from(words).unwrap_err().to_string();
        let commands = super::description();
        assert_eq!(commands.get_subcommands().count(), 17);
        for command in commands.get_subcommands().map(clap::Command::get_name) {
            for words in [&["mkimg", command, "--help"], &["mkimg", "help", command], &["mkimg", command, "-h"]] {
                let deferred = help(super::CommandLine::command(), words);
                assert_eq!(deferred, help(super::description(), words), "{words:?}");
                let about = commands.find_subcommand(command).and_then(clap::Command::get_about).unwrap();
                assert!(deferred.starts_with(&about.to_string()), "{words:?}: {deferred}");
            }
        }
        assert_eq!(
            help(super::CommandLine::command(), &["mkimg", "--help"]),
            help(super::description(), &["mkimg", "--help"])
        );
    }
}
