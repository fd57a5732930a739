//! Single commands that do at boot what nobody wants: wait for themselves, ask a question, switch the machine off too early.

use std::cell::OnceCell;

use super::{Boot, Stage, Step};
use crate::rules;
use crate::shell::{self, Input, Interpreter, SimpleCommand};
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let assumed = OnceCell::new();
    let assumes_yes = || *assumed.get_or_init(|| boot.source().text().contains("Assume-Yes"));
    for (step, command) in boot.all_commands() {
        one(boot.source(), step, command, &assumes_yes, out);
        starts(boot, step, command, out);
    }
    for file in boot.document.files() {
        let Some(content) = file.content.as_ref().filter(|_| file.is_run_at_boot()) else { continue };
        let Some((text, interpreter)) = content.text().and_then(|text| Some((text, Interpreter::from_script(text)?)))
        else {
            continue;
        };
        let step = Step {
            stage: Stage::Script,
            path: format!("write_files.{}.content", file.index),
            node: Some(content.node),
            commands: shell::commands(text, interpreter),
        };
        for command in &step.commands {
            one(boot.source(), &step, command, &assumes_yes, out);
        }
    }
}

/// What one command does, wherever it stands. `assumes_yes`: the document tells apt not to ask.
pub(super) fn one(
    source: &Source,
    step: &Step<'_>,
    command: &SimpleCommand<'_>,
    assumes_yes: &dyn Fn() -> bool,
    out: &mut Vec<Diagnostic>,
) {
    let program = command.program();
    let waits = match program {
        "cloud-init" => command.operands().next() == Some("status") && command.has(&["--wait", "-w"]),
        "systemctl" => command.operands().next() == Some("is-system-running") && command.has(&["--wait"]),
        _ => false,
    };
    if waits && command.is_waited_for() {
        let message = "the command waits for cloud-init, which waits for the command: the boot never ends".to_string();
        let help = "take it out: what must come after cloud-init belongs in a unit with `After=cloud-final.service`, started with `--no-block`";
        out.push(step.finding(source, &rules::WAITS_FOR_CLOUD_INIT, command, message, help));
    }
    if never_ends(command) && !command.conditional && command.is_waited_for() {
        let message = format!("{} never ends by itself: what comes after it is never done", quoted(command.written));
        let help = "start it as a service (`systemd-run`, or a unit), or put `timeout` in front of it";
        out.push(step.finding(source, &rules::COMMAND_NEVER_ENDS, command, message, help));
    }
    if asks(command) && !assumes_yes() {
        let message =
            format!("nobody answers the question that {} asks: it gives up, and nothing is done", quoted(program));
        let help = match program {
            "pacman" => "add `--noconfirm`",
            "zypper" => "add `--non-interactive`",
            "apt-get" | "apt" | "aptitude" => {
                "add `-y`, and `DEBIAN_FRONTEND=noninteractive` in front; or use `packages`"
            }
            _ => "add `-y`, or use `packages`",
        };
        out.push(step.finding(source, &rules::INTERACTIVE_PROMPT, command, message, help));
    }
    if ends_the_boot(command) && !command.background && !command.in_subshell {
        match step.stage {
            Stage::Bootcmd if command.conditional => {}
            Stage::Bootcmd => {
                let message = "`bootcmd` runs at every boot: the machine would never come up".to_string();
                let help = "use `power_state`, or `cloud-init-per once NAME …`";
                out.push(step.finding(source, &rules::REBOOT_LOOP, command, message, help));
            }
            Stage::Runcmd | Stage::Script => {
                let message = format!(
                    "{} takes the machine down while cloud-init is at work: what comes after is not done",
                    quoted(program)
                );
                let help =
                    "use `power_state` (with `mode`, and `condition` if need be): it acts when everything is done";
                out.push(step.finding(source, &rules::REBOOT_IN_RUNCMD, command, message, help));
            }
        }
    }
}

/// Whether a package manager would ask for consent.
fn asks(command: &SimpleCommand<'_>) -> bool {
    // Who says what is read (`< /dev/null`) has thought of the question.
    if command.input != Input::Inherited || command.arguments().iter().any(|word| word.contains('$')) {
        return false;
    }
    let verb = command.operands().next().unwrap_or_default();
    let short = |letter: char, times: usize| {
        let clusters = command.arguments().iter().filter(|word| word.starts_with('-') && !word.starts_with("--"));
        clusters.map(|word| word.matches(letter).count()).sum::<usize>() >= times
    };
    match command.program() {
        "apt-get" | "apt" | "aptitude" => {
            let changes =
                ["install", "reinstall", "upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "build-dep"]
                    .contains(&verb);
            let asked = short('y', 1)
                || short('q', 2)
                || short('s', 1)
                || short('d', 1)
                || command.has(&[
                    "--yes",
                    "--assume-yes",
                    "--force-yes",
                    "-q=2",
                    "--simulate",
                    "--dry-run",
                    "--just-print",
                    "--download-only",
                    "--print-uris",
                ]);
            changes && !asked
        }
        "yum" | "dnf" | "microdnf" => {
            ["install", "groupinstall", "update", "upgrade", "distro-sync"].contains(&verb)
                && !short('y', 1)
                && !command.has(&["--assumeyes"])
        }
        "zypper" => {
            ["install", "in", "update", "up", "dup"].contains(&verb)
                && !command.has(&["-n", "--non-interactive", "-y", "--no-confirm"])
                && !short('y', 1)
        }
        "pacman" => {
            // `-Syy` alone only brings the lists; `-Ss`, `-Si`, `-Sl` and `-Sg` only show something.
            let sync = command.arguments().iter().find(|word| word.starts_with("-S"));
            let shows = |word: &str| word.contains(['s', 'i', 'l', 'g', 'p', 'h']);
            let changes = |word: &str| word.contains(['u', 'c']) || command.operands().next().is_some();
            sync.is_some_and(|word| !shows(word) && changes(word)) && !command.has(&["--noconfirm"])
        }
        _ => false,
    }
}

/// Whether a command goes on for ever. What reads its output may end it.
fn never_ends(command: &SimpleCommand<'_>) -> bool {
    if command.feeds_pipe {
        return false;
    }
    let follows = |letters: [char; 2]| {
        let clusters = command.arguments().iter().filter(|word| word.starts_with('-') && !word.starts_with("--"));
        clusters.into_iter().any(|word| word.contains(letters))
    };
    let first = command.operands().next().unwrap_or_default();
    match command.program() {
        "tail" => {
            (follows(['f', 'F']) || command.has(&["--follow"]))
                && !command.arguments().iter().any(|word| word.starts_with("--pid"))
        }
        "journalctl" => follows(['f', 'f']) || command.has(&["--follow"]),
        "sleep" => first == "infinity",
        "watch" => {
            !first.is_empty() && !follows(['g', 'q']) && !command.arguments().iter().any(|word| word.starts_with("--"))
        }
        "python3" | "python" => command.arguments().windows(2).any(|pair| pair[0] == "-m" && pair[1] == "http.server"),
        _ => false,
    }
}

/// Whether a command takes the machine down at once.
fn ends_the_boot(command: &SimpleCommand<'_>) -> bool {
    let verb = command.operands().next().unwrap_or_default();
    match command.program() {
        "reboot" | "poweroff" | "halt" => !command.has(&["--help", "-w", "--wtmp-only"]),
        "shutdown" => command.has(&["now", "+0"]) && !command.has(&["-c", "-k"]),
        "systemctl" => matches!(verb, "reboot" | "poweroff" | "halt" | "kexec"),
        "init" | "telinit" => matches!(verb, "0" | "6"),
        _ => false,
    }
}

/// Starting a unit of the document that is ordered after cloud-init: the start waits for its own end.
fn starts(boot: &Boot<'_, '_>, step: &Step<'_>, command: &SimpleCommand<'_>, out: &mut Vec<Diagnostic>) {
    let now = command.has(&["--now"]) && command.has(&["enable", "reenable"]);
    let starts = command.has(&["start", "restart"]) || now;
    if command.program() != "systemctl"
        || !starts
        || command.has(&["--no-block"])
        || command.background
        || command.has_timeout
    {
        return;
    }
    for unit in command.operands().skip(1) {
        let unit = if unit.contains('.') { unit.to_string() } else { format!("{unit}.service") };
        for folder in ["/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"] {
            let file = boot.file(&format!("{folder}{unit}"));
            let found = file.and_then(|file| Some((file.path?.1, file.content.as_ref()?.text()?)));
            let Some((place, text)) = found else { continue };
            let mut after =
                text.lines().filter_map(|line| line.trim().strip_prefix("After=")).flat_map(str::split_whitespace);
            let Some(late) = after.find(|name| matches!(*name, "cloud-final.service" | "cloud-init.target")) else {
                continue;
            };
            let message =
                format!("{} starts after {late}, which waits for this command: the boot never ends", quoted(&unit));
            let help = "add `--no-block`, or enable the unit without starting it";
            let mut found = step.finding(boot.source(), &rules::UNIT_WAITS_FOR_CLOUD_INIT, command, message, help);
            found.related.push((place.used_at(), format!("has After={late}")));
            out.push(found);
            return;
        }
    }
}
