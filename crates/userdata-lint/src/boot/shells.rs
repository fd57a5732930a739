//! Commands that wait for a shell or for the end of cloud-init: a change of user without a command, and
//! loops on the files that cloud-init writes at its end.

use super::steps::BootStep;
use crate::rules;
use crate::shell::{Input, Interpreter, SimpleCommand};
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

/// Reports commands that only start a shell of another user, before other commands. `continues` tells
/// whether a command follows the step.
pub(super) fn check_user_changes(source: &Source, step: &BootStep<'_>, continues: bool, out: &mut Vec<Diagnostic>) {
    for (at, command) in step.commands.iter().enumerate() {
        let is_followed = continues || at + 1 < step.commands.len();
        let Some(user) = changed_user(command).filter(|_| is_followed) else { continue };
        let message = format!(
            "this starts a shell for {}, which ends immediately: the commands after it run as the same user as before",
            quoted(user)
        );
        let help = format!("run them with `sudo -u {0} …` or `su - {0} -c '…'`", diagnostics::escape_control(user));
        out.push(step.finding(source, &rules::USER_CHANGE_WITHOUT_COMMAND, command, message, &help));
    }
}

/// The user of a command that starts a shell and gives it nothing to run.
fn changed_user<'c>(command: &'c SimpleCommand<'_>) -> Option<&'c str> {
    if command.input != Input::Inherited || command.conditional || command.written.starts_with("exec ") {
        return None;
    }
    let user = match command.program() {
        "su" | "runuser" => user_of_su(command)?,
        "sudo" => {
            let opens = |word: &str| match word.strip_prefix("--") {
                Some(long) => matches!(long, "login" | "shell"),
                None => word.strip_prefix('-').is_some_and(|short| short.contains(['i', 's'])),
            };
            command.arguments().iter().any(|word| opens(word)).then(|| user_of_sudo(command.written))??
        }
        program if Interpreter::from_program(program).is_some() || program == "zsh" => {
            let has_script = command.arguments().iter().any(|word| !matches!(word.as_ref(), "-l" | "-i" | "--login"));
            (command.written.starts_with("sudo ") && !has_script).then(|| user_of_sudo(command.written))??
        }
        _ => return None,
    };
    (user != "root").then_some(user)
}

fn user_of_su<'c>(command: &'c SimpleCommand<'_>) -> Option<&'c str> {
    let mut user = None;
    let mut words = command.arguments().iter().map(AsRef::as_ref);
    while let Some(word) = words.next() {
        match word {
            "-" | "-l" | "--login" | "-m" | "-p" | "--preserve-environment" | "-P" | "--pty" => {}
            "-s" | "--shell" => {
                words.next()?;
            }
            _ if word.starts_with("--shell=") => {}
            // A command follows, or something else that this does not know.
            _ if word.starts_with('-') || user.is_some() => return None,
            _ => user = Some(word),
        }
    }
    user
}

/// The user in `sudo -u NAME`, if the command has the option.
fn user_of_sudo(written: &str) -> Option<&str> {
    let mut words = written.split_ascii_whitespace().skip(1);
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--user=") {
            return Some(name);
        }
        let is_cluster = word.starts_with('-') && !word.starts_with("--") && word.ends_with('u');
        if is_cluster || word == "--user" {
            return words.next();
        }
    }
    None
}

/// Files that cloud-init writes when everything is done.
const FINAL_FILES: &[&str] = &["boot-finished", "/run/cloud-init/result.json", "/var/lib/cloud/data/result.json"];

/// Whether a loop, of which this is the first command, waits until cloud-init is done.
pub(super) fn is_waiting_loop(command: &SimpleCommand<'_>) -> bool {
    command.begins_loop.is_some_and(waits_for_end)
}

fn waits_for_end(text: &str) -> bool {
    let names_file = |text: &str| FINAL_FILES.iter().any(|name| text.contains(name));
    if !names_file(text) && !text.contains("cloud-init status") {
        return false;
    }
    let separators = ["; do", ";do", "\ndo", "\n do"];
    let split = separators.iter().filter_map(|word| Some((text.find(word)?, word.len()))).min();
    let Some((end, length)) = split.or_else(|| Some((text.find("do\n")?, 2))) else { return false };
    let (condition, body) = (text[..end].trim(), &text[(end + length).min(text.len())..]);
    let words =
        || text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-$".contains(c)).filter(|word| !word.is_empty());
    // A count or a limit ends the loop.
    let counters = ["exit", "return", "timeout", "SECONDS", "let", "expr", "-lt", "-gt", "-le", "-ge", "date", "kill"];
    if words().any(|word| counters.contains(&word)) || text.contains("$((") || text.contains("((") {
        return false;
    }
    let breaks = words().filter(|word| *word == "break").count();
    if breaks == 0 {
        let has_more = ["&&", "||", " -o ", " -a ", "\n"].iter().any(|word| condition.contains(word));
        return !has_more && is_condition_of_end(condition, names_file(condition));
    }
    // `while true; do [ -f FILE ] && break; …`
    let is_endless = matches!(condition, "while true" | "while :" | "while [ 1 ]" | "while [ true ]" | "while sleep 1")
        || condition.starts_with("while sleep ");
    let tests = words().filter(|word| matches!(*word, "if" | "case" | "-f" | "-e")).count();
    is_endless && breaks == 1 && names_file(body) && !body.contains('!') && tests <= 2 && !body.contains("||")
}

/// Whether the condition of a loop holds until cloud-init is done.
fn is_condition_of_end(condition: &str, names_file: bool) -> bool {
    let is_until = condition.starts_with("until");
    let negations = condition.split_ascii_whitespace().filter(|word| *word == "!").count();
    if names_file {
        let is_test = ["-f ", "-e ", "-s ", "-r ", "ls ", "stat "].iter().any(|word| condition.contains(word));
        return is_test && is_until == (negations % 2 == 0);
    }
    if !condition.contains("cloud-init status") {
        return false;
    }
    match (condition.contains("done"), condition.contains("running")) {
        (true, false) => is_until == (negations == 0 && !condition.contains("!=")),
        (false, true) => !is_until && negations == 0 && !condition.contains("!="),
        _ => false,
    }
}
