//! Databases and game servers: steps in the wrong order, and commands that a database refuses.

use super::steps::{Boot, BootStep, Stage};
use crate::content;
use crate::rules;
use crate::shell::SimpleCommand;
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

/// Subcommands of Nakama that do not start the server.
const NAKAMA_TOOLS: [&str; 5] = ["admin", "check", "healthcheck", "migrate", "version"];
/// Values of `Restart=` with which systemd starts a program again that ended with an error.
const RESTARTS: [&str; 2] = ["always", "on-failure"];

/// Whether a command is Nakama's server, which stays in the foreground.
pub(super) fn runs_nakama(command: &SimpleCommand<'_>) -> bool {
    let has_settings =
        command.arguments().iter().any(|word| word.starts_with("--config") || word.starts_with("--database"));
    command.program() == "nakama"
        && has_settings
        && !command.arguments().iter().any(|word| NAKAMA_TOOLS.contains(&word.as_ref()) || word.contains("help"))
}

/// Reports `cockroach start` without `--join`, which every version since 20.1 refuses.
pub(super) fn check_join(source: &Source, step: &BootStep<'_>, command: &SimpleCommand<'_>, out: &mut Vec<Diagnostic>) {
    let arguments = command.arguments();
    let is_start = command.program() == "cockroach" && command.operands().next() == Some("start");
    let may_join =
        arguments.iter().any(|word| word.starts_with("--join") || word.starts_with("-j") || word.contains('$'));
    if is_start && !may_join && !command.has(&["--help"]) {
        let message = "`cockroach start` without `--join` ends with an error".to_owned();
        let help = "use `start-single-node`, or name the nodes of the cluster: `--join=HOST,HOST`";
        out.push(step.finding(source, &rules::COCKROACH_WITHOUT_JOIN, command, message, help));
    }
}

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let commands: Vec<_> = boot.commands(Stage::Runcmd).collect();
    let is_of_us = |(_, command): &(_, &SimpleCommand<'_>)| matches!(command.program(), "cockroach" | "nakama");
    if !commands.iter().any(is_of_us) {
        return;
    }
    let runs = |command: &SimpleCommand<'_>, program: &str, words: &[&str]| {
        command.program() == program && words.iter().all(|word| command.has(&[word]))
    };
    let first = |program: &str, words: &[&str]| commands.iter().position(|(_, command)| runs(command, program, words));
    if let Some(init) = first("cockroach", &["init"]) {
        let starts_node = |command: &SimpleCommand<'_>| {
            started_units(boot, command).any(|(_, text)| text.contains("cockroach") && text.contains("--join"))
                || runs(command, "cockroach", &["start"])
        };
        let early = commands[..init].iter().skip_while(|(_, command)| !starts_node(command)).find(|(_, command)| {
            !command.conditional
                && is_local(command)
                && (runs(command, "cockroach", &["sql"]) || runs(command, "nakama", &["migrate"]))
        });
        if let Some((step, command)) = early {
            let message =
                format!("{} needs the cluster, which `cockroach init` only creates later", quoted(command.program()));
            report(boot, (*step, *command), commands[init], message, "move it after `cockroach init`", out);
        }
    }
    let Some(migrate) = first("nakama", &["migrate", "up"]) else { return };
    let starts = commands[..migrate].iter().find_map(|(step, command)| {
        let is_sure = !command.conditional && !command.background;
        let (unit, _) = started_units(boot, command).find(|(_, text)| is_sure && ends_without_schema(text))?;
        Some((*step, *command, unit))
    });
    let starts_again = |unit: &str| {
        commands[migrate..].iter().any(|(_, command)| started_units(boot, command).any(|(other, _)| other == unit))
    };
    if let Some((step, command, unit)) = starts.filter(|(.., unit)| !starts_again(unit)) {
        let message = format!(
            "{} is started before `nakama migrate up`: without the schema, Nakama ends with an error",
            quoted(&unit)
        );
        let help = "move the start after the migration, or migrate in the unit: `ExecStartPre=… migrate up`";
        report(boot, (step, command), commands[migrate], message, help, out);
    }
}

type Place<'b, 't> = (&'b BootStep<'t>, &'b SimpleCommand<'t>);

fn report(
    boot: &Boot<'_, '_>,
    (step, command): Place<'_, '_>,
    (later, needed): Place<'_, '_>,
    message: String,
    help: &str,
    out: &mut Vec<Diagnostic>,
) {
    let mut found = step.finding(boot.source(), &rules::DATABASE_NOT_READY, command, message, help);
    found.related.push((later.place(boot.source(), needed.written), "runs here, later".into()));
    out.push(found);
}

/// The units of the document that a command starts, with their texts.
fn started_units<'b>(
    boot: &'b Boot<'_, '_>,
    command: &'b SimpleCommand<'_>,
) -> impl Iterator<Item = (String, &'b str)> {
    let starts = command.program() == "systemctl"
        && (command.has(&["start", "restart", "reload-or-restart", "try-restart"])
            || command.has(&["--now"]) && command.has(&["enable", "reenable"]));
    command.operands().skip(1).filter(move |_| starts).filter_map(|unit| {
        let unit = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        let text = boot.file(&format!("/etc/systemd/system/{unit}"))?.content.as_ref()?.text()?;
        Some((unit, text))
    })
}

/// Whether a unit starts Nakama once, without its migration.
fn ends_without_schema(text: &str) -> bool {
    let programs = content::required_programs("/etc/systemd/system/nakama.service", text);
    let is_nakama = programs.iter().any(|(program, _)| program.rsplit('/').next() == Some("nakama"));
    let restarts = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Restart="))
        .any(|value| RESTARTS.contains(&value.trim()));
    is_nakama && !text.contains("migrate") && !restarts
}

/// Whether a command speaks to the node of this machine.
fn is_local(command: &SimpleCommand<'_>) -> bool {
    let mut addresses = command
        .arguments()
        .iter()
        .filter(|word| ["--host=", "--url=", "--database.address="].iter().any(|option| word.starts_with(option)));
    addresses.all(|word| word.contains("localhost") || word.contains("127.0.0.1")) && !command.has(&["--host", "--url"])
}
