//! Commands that need `$HOME`, which cloud-init's services do not have.

use super::commands::called_files;
use super::steps::{Boot, BootStep, Stage};
use crate::rules;
use crate::shell::{self, Interpreter, SimpleCommand};
use diagnostics::Diagnostic;
use diagnostics::source::Source;

/// Programs that give the command after them another environment.
const CHANGES_USER: &[&str] =
    &["su", "sudo", "runuser", "doas", "ssh", "docker", "podman", "kubectl", "machinectl", "chroot"];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let source = boot.source();
    if sets_home(source.text()) {
        return;
    }
    for stage in [Stage::Bootcmd, Stage::Runcmd] {
        // The strings are one script; a list has no shell.
        let steps = boot.steps.iter().filter(|step| step.stage == stage);
        let found = steps.filter(|step| step.node.is_some_and(|node| node.as_str().is_some()));
        out.extend(found.into_iter().find_map(|step| find(source, step, Interpreter::Sh)));
    }
    let called = called_files(boot);
    for file in boot.document.files() {
        let is_run = file.is_run_at_boot() || called.contains(&*file.destination);
        let Some(content) = file.content.as_ref().filter(|_| is_run) else { continue };
        let Some(text) = content.text().filter(|text| !sets_home(text)) else { continue };
        let Some(interpreter) = Interpreter::from_script(text) else { continue };
        let step = BootStep {
            stage: Stage::Script,
            path: format!("write_files.{}.content", file.index),
            node: Some(content.node),
            commands: shell::commands(text, interpreter),
        };
        out.extend(find(source, &step, interpreter));
    }
}

/// Checks a user-data script.
pub(super) fn check_script(source: &Source, out: &mut Vec<Diagnostic>) {
    let text = source.text();
    let Some(interpreter) = Interpreter::from_script(text).filter(|_| !sets_home(text)) else { return };
    let commands = shell::commands(text, interpreter);
    let step = BootStep { stage: Stage::Script, path: String::new(), node: None, commands };
    out.extend(find(source, &step, interpreter));
}

fn sets_home(text: &str) -> bool {
    ["HOME=", "HOME:", "read HOME"].iter().any(|mark| text.contains(mark))
}

/// The first command of a script that needs `$HOME`.
fn find(source: &Source, step: &BootStep<'_>, interpreter: Interpreter) -> Option<Diagnostic> {
    let mut is_strict = false;
    for command in &step.commands {
        is_strict |= command.program() == "set" && sets_nounset(command);
        let message = match need(command, interpreter) {
            None => continue,
            Some(Need::Variable) if is_strict => {
                "cloud-init does not set `$HOME`: with `set -u`, the script ends here".to_owned()
            }
            Some(Need::Variable) => "cloud-init does not set `$HOME`, so that it is empty here".to_owned(),
            Some(Need::Tilde) => "cloud-init does not set `$HOME`: `~` remains the name of a directory".to_owned(),
            Some(Need::Program(name)) => format!("cloud-init does not set `$HOME`: {name} needs it, and fails"),
        };
        let help = "write the directory, such as `/root`; or run `export HOME=/root` first";
        return Some(step.finding(source, &rules::HOME_NOT_SET, command, message, help));
    }
    None
}

enum Need {
    Variable,
    Tilde,
    Program(&'static str),
}

fn need(command: &SimpleCommand<'_>, interpreter: Interpreter) -> Option<Need> {
    let written = command.written;
    let changes_user = CHANGES_USER.contains(&command.program())
        || CHANGES_USER.iter().any(|program| written.starts_with(program) && written[program.len()..].starts_with(' '));
    if changes_user {
        return None;
    }
    match command.program() {
        "git" if command.has(&["--global"]) && command.operands().next() == Some("config") => {
            return Some(Need::Program("`git config --global`"));
        }
        "composer"
            if matches!(
                command.operands().next(),
                Some("install" | "require" | "update" | "create-project" | "global")
            ) =>
        {
            return (!written.contains("COMPOSER_HOME")).then_some(Need::Program("composer"));
        }
        _ => {}
    }
    let writes_below = |name: &str| command.outputs.iter().any(|output| output.path.starts_with(name));
    if ["$HOME", "${HOME}"].iter().any(|name| expands(written, name) || writes_below(name)) {
        return Some(Need::Variable);
    }
    let is_dash = matches!(interpreter, Interpreter::Sh | Interpreter::Dash);
    let mut tildes = written.match_indices("~/").map(|(at, _)| at);
    let is_tilde =
        tildes.any(|at| written[..at].ends_with([' ', '\t', '=']) && quotes_before(written, at) == (false, false));
    (is_dash && (is_tilde || writes_below("~/"))).then_some(Need::Tilde)
}

fn sets_nounset(command: &SimpleCommand<'_>) -> bool {
    let is_cluster = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains('u');
    command.arguments().iter().any(|word| is_cluster(word) || word == "nounset")
}

/// Whether the shell replaces a variable somewhere in a command.
fn expands(written: &str, name: &str) -> bool {
    written.match_indices(name).any(|(at, _)| {
        let is_longer = written[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let (in_single, _) = quotes_before(written, at);
        !is_longer && !in_single && !written[..at].ends_with('\\')
    })
}

/// Whether a place is inside single quotes, and inside double quotes.
fn quotes_before(written: &str, at: usize) -> (bool, bool) {
    let mut open = None;
    let mut is_escaped = false;
    for character in written[..at].chars() {
        match (character, open) {
            _ if is_escaped => is_escaped = false,
            ('\\', None | Some('"')) => is_escaped = true,
            ('\'' | '"', None) => open = Some(character),
            (_, Some(quote)) if quote == character => open = None,
            _ => {}
        }
    }
    (open == Some('\''), open == Some('"'))
}
