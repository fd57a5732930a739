//! Commands that must not run at boot: they wait for cloud-init, ask a question, never end, stop
//! the machine too early, block SSH, or run a download unchecked.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::endless::never_ends;
use super::steps::{Boot, BootStep, Stage};
use super::{bootcmd, databases, sed, shells, terminal};
use crate::cloud_config::normalize_path;
use crate::rules;
use crate::shell::{self, Input, Interpreter, SimpleCommand};
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let assumed = OnceCell::new();
    let assumes_yes = || *assumed.get_or_init(|| boot.source().text().contains("Assume-Yes"));
    for (at, step) in boot.steps.iter().enumerate() {
        let mut later = boot.steps[at + 1..].iter();
        let continues = later.any(|other| other.stage == step.stage && !other.commands.is_empty());
        check_step(boot.source(), step, continues, &assumes_yes, out);
        step.commands.iter().for_each(|command| check_unit_start(boot, step, command, out));
    }
    let called = called_files(boot);
    for file in boot.document.files() {
        let is_run = file.is_run_as_script() || called.contains(&*file.destination);
        let Some(content) = file.content.as_ref().filter(|_| is_run) else { continue };
        let Some((text, interpreter)) = content.text().and_then(|text| Some((text, Interpreter::from_script(text)?)))
        else {
            continue;
        };
        let step = BootStep {
            stage: Stage::Script,
            path: format!("write_files.{}.content", file.index),
            node: Some(content.node),
            commands: shell::commands(text, interpreter),
        };
        check_step(boot.source(), &step, false, &assumes_yes, out);
        if file.destination.starts_with("/var/lib/cloud/scripts/per-boot/") {
            bootcmd::check_formatting(boot.source(), "the script", std::iter::once(&step), out);
        }
    }
    check_firewall(boot, out);
}

/// The files that `runcmd` certainly runs and waits for.
pub(super) fn called_files<'b>(boot: &'b Boot<'_, '_>) -> BTreeSet<Cow<'b, str>> {
    let commands = boot.commands(Stage::Runcmd).map(|(_, command)| command);
    let sure = commands.filter(|command| !command.conditional && command.is_waited_for());
    let called = sure.filter_map(|command| {
        let program = command.program();
        let by_shell = Interpreter::from_program(program).is_some() || matches!(program, "." | "source");
        if by_shell { command.operands().next() } else { command.words.first().map(AsRef::as_ref) }
    });
    called.filter(|path| path.starts_with('/')).map(normalize_path).collect()
}

/// Checks the commands of one item or script. `continues` tells whether another item follows it, `assumes_yes`
///  whether apt is configured to assume yes.
pub(super) fn check_step(
    source: &Source,
    step: &BootStep<'_>,
    continues: bool,
    assumes_yes: &dyn Fn() -> bool,
    out: &mut Vec<Diagnostic>,
) {
    for (at, command) in step.commands.iter().enumerate() {
        let is_last = !continues && at + 1 == step.commands.len();
        check_command(source, step, command, is_last, assumes_yes, out);
        terminal::check(source, step, command, out);
    }
    shells::check_user_changes(source, step, continues, out);
    check_downloads(source, step, out);
    check_misspelled_tee(source, step, out);
    sed::check(source, step, out);
}

fn check_command(
    source: &Source,
    step: &BootStep<'_>,
    command: &SimpleCommand<'_>,
    is_last: bool,
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
        let help = "remove it; for work after cloud-init, use a unit with `After=cloud-final.service` and start it with `--no-block`";
        out.push(step.finding(source, &rules::WAITS_FOR_CLOUD_INIT, command, message, help));
    }
    if shells::is_waiting_loop(command) && command.is_waited_for() {
        let message =
            "the loop waits for the end of cloud-init, which waits for the loop: the boot never ends".to_string();
        let help = "remove it; for work after cloud-init, use a unit with `After=cloud-final.service` and start it with `--no-block`";
        out.push(step.finding(source, &rules::WAITS_FOR_CLOUD_INIT, command, message, help));
    }
    databases::check_join(source, step, command, out);
    if never_ends(command) && !command.conditional && command.is_waited_for() {
        let message = format!("{} never ends: the commands after it do not run", quoted(command.written));
        let help = "run it as a service (`systemd-run`, or a unit), or with `timeout`";
        out.push(step.finding(source, &rules::COMMAND_NEVER_ENDS, command, message, help));
    }
    if asks_for_confirmation(command) && !assumes_yes() {
        let message = format!(
            "{} asks for confirmation, which is impossible at boot: it gives up and changes nothing",
            quoted(program)
        );
        let help = match program {
            "pacman" => "add `--noconfirm`",
            "zypper" => "add `--non-interactive`",
            "apt-get" | "apt" | "aptitude" => "add `-y` and set `DEBIAN_FRONTEND=noninteractive`; or use `packages`",
            _ => "add `-y`, or use `packages`",
        };
        out.push(step.finding(source, &rules::INTERACTIVE_PROMPT, command, message, help));
    }
    if stops_machine(command) && !command.background && !command.in_subshell {
        match step.stage {
            Stage::Bootcmd if command.conditional => {}
            Stage::Bootcmd => {
                let message = "`bootcmd` runs in every boot: the machine never comes up".to_string();
                let help = "use `power_state`, or `cloud-init-per once NAME …`";
                out.push(step.finding(source, &rules::REBOOT_LOOP, command, message, help));
            }
            Stage::Runcmd | Stage::Script => {
                let lost = if is_last {
                    "cloud-init does not finish, and `phone_home` and `final_message` are lost"
                } else {
                    "the commands after it do not run"
                };
                let message = format!("{} stops the machine while cloud-init runs: {lost}", quoted(program));
                let help = "use `power_state`, which acts when everything is done";
                out.push(step.finding(source, &rules::REBOOT_IN_RUNCMD, command, message, help));
            }
        }
    }
}

/// Whether a package manager would ask for confirmation.
fn asks_for_confirmation(command: &SimpleCommand<'_>) -> bool {
    // `< /dev/null` answers the question.
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
                    "--yes", "--assume-yes", "--force-yes", "-q=2", "--simulate", "--dry-run", "--just-print",
                    "--download-only", "--print-uris",
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
            // `-Syy` alone only updates the package lists; `-Ss`, `-Si`, `-Sl` and `-Sg` only
            // print.
            let sync = command.arguments().iter().find(|word| word.starts_with("-S"));
            let shows = |word: &str| word.contains(['s', 'i', 'l', 'g', 'p', 'h']);
            let changes = |word: &str| word.contains(['u', 'c']) || command.operands().next().is_some();
            sync.is_some_and(|word| !shows(word) && changes(word)) && !command.has(&["--noconfirm"])
        }
        _ => false,
    }
}

/// Whether a command stops the machine immediately.
fn stops_machine(command: &SimpleCommand<'_>) -> bool {
    let verb = command.operands().next().unwrap_or_default();
    match command.program() {
        "reboot" | "poweroff" | "halt" => !command.has(&["--help", "-w", "--wtmp-only"]),
        "shutdown" => command.has(&["now", "+0"]) && !command.has(&["-c", "-k"]),
        "systemctl" => matches!(verb, "reboot" | "poweroff" | "halt" | "kexec"),
        "init" | "telinit" => matches!(verb, "0" | "6"),
        _ => false,
    }
}

/// Reports starting a unit that is ordered after cloud-init: the command would wait forever.
fn check_unit_start(boot: &Boot<'_, '_>, step: &BootStep<'_>, command: &SimpleCommand<'_>, out: &mut Vec<Diagnostic>) {
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

/// Reports `ufw enable` without a rule that allows SSH.
fn check_firewall(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let enables = |program: &str, verb: Option<&str>| program == "ufw" && verb == Some("enable");
    let found = boot
        .commands(Stage::Runcmd)
        .find(|(_, command)| !command.conditional && enables(command.program(), command.operands().next()));
    let Some((step, command)) = found else { return };
    // Compressed contents are not visible in the source.
    let mut contents = boot.document.files().iter().filter_map(|file| file.content.as_ref()?.text());
    if allows_ssh(boot.source().text())
        || contents.any(allows_ssh)
        || boot.paths.keys().any(|path| path.starts_with("/etc/ufw/"))
        // Its packets do not pass the rules of ufw.
        || boot.all_commands().any(|(_, command)| is_private_network(command))
    {
        return;
    }
    let message = "the firewall is enabled without a rule that allows SSH: nobody can log in".to_string();
    let help = "add `ufw allow OpenSSH` (or `ufw limit 22/tcp`) before it";
    out.push(step.finding(boot.source(), &rules::FIREWALL_WITHOUT_SSH, command, message, help));
}

/// Whether a command connects the machine to a private network over which people log in.
fn is_private_network(command: &SimpleCommand<'_>) -> bool {
    matches!(
        (command.program(), command.operands().next()),
        ("tailscale", Some("up" | "login" | "set")) | ("netbird", Some("up")) | ("zerotier-cli", Some("join"))
    )
}

/// Whether a script may open the SSH port: by name or number, from an address or an interface, or
/// with a variable. If SSH has another port, numbers are not compared.
fn allows_ssh(text: &str) -> bool {
    let another_port = text.lines().any(|line| {
        let words =
            line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).split(|c: char| !c.is_ascii_alphanumeric());
        let mut words = words.filter(|word| !word.is_empty());
        words.any(|word| word == "Port")
    });
    another_port
        || text.lines().filter(|line| line.contains("ufw")).any(|line| {
            let rule = line.split_once("ufw").map_or("", |(_, rule)| rule).replace(['\'', '"', ',', '[', ']'], " ");
            let opens = ["allow", "limit"].iter().any(|verb| rule.contains(verb));
            let of_ssh = rule.to_ascii_lowercase().contains("ssh")
                || rule.contains("22")
                || rule.contains(['$', '{', '%', '<', '*', ':'])
                || [" from ", " in ", " on ", "incoming", " any"].iter().any(|word| rule.contains(word));
            opens && of_ssh
        })
}

/// Reports downloads that are piped to a shell, and apt-key.
fn check_downloads(source: &Source, step: &BootStep<'_>, out: &mut Vec<Diagnostic>) {
    let mut before: Option<&SimpleCommand<'_>> = None;
    for command in &step.commands {
        let program = command.program();
        let is_shell = matches!(program, "sh" | "bash" | "dash" | "zsh");
        let is_download = |one: &SimpleCommand<'_>| matches!(one.program(), "curl" | "wget");
        let piped = is_shell && command.input == Input::Pipe && before.is_some_and(is_download);
        let substituted = is_shell
            && command.arguments().iter().any(|word| word.starts_with("$(curl ") || word.starts_with("$(wget "));
        if piped || substituted {
            let message = format!(
                "the download is passed to {} without verification: it may be incomplete or changed",
                quoted(program)
            );
            let help = "download it to a file, compare its sha256, then run it; or install a package";
            out.push(step.finding(source, &rules::DOWNLOAD_PIPED_TO_SHELL, command, message, help));
        }
        if program == "apt-key" && command.has(&["add", "adv"]) {
            let message = "Debian 13 and Ubuntu 25.04 and later do not have apt-key".to_string();
            let help =
                "put the key into /etc/apt/keyrings and name it in the source: `signed-by=`; or use `apt: sources:`";
            out.push(step.finding(source, &rules::APT_KEY_REMOVED, command, message, help));
        }
        before = Some(command);
    }
}

/// Programs whose output people write to a file with `tee`.
const WRITERS: &[&str] = &["echo", "printf", "cat", "curl", "wget", "gpg", "sed", "envsubst", "jq", "awk"];
/// Misspellings of `tee`. `tree` exists, but does not read its input.
const NEARLY_TEE: &[&str] = &["tree", "te", "teee", "ttee", "tre", "ter", "tew", "rtee", "tee-a", "tea", "tees", "tte"];

/// Reports a pipe to a misspelled `tee`: the file is not written.
fn check_misspelled_tee(source: &Source, step: &BootStep<'_>, out: &mut Vec<Diagnostic>) {
    for pair in step.commands.windows(2) {
        let [writer, command] = pair else { continue };
        let program = command.program();
        let is_piped = writer.feeds_pipe && command.input == Input::Pipe && WRITERS.contains(&writer.program());
        if !is_piped || !NEARLY_TEE.contains(&program) || command.words.first().is_some_and(|word| word.contains('/')) {
            continue;
        }
        let names_file = command.operands().any(|word| word.starts_with('/') || word.starts_with("~/"));
        // `tree --fromfile` does read its input; the document may have a program or function with the name.
        let is_other = command.arguments().iter().any(|word| word.starts_with("--from"))
            || source.text().contains(&format!("bin/{program}\n"))
            || source.text().contains(&format!("{program}()"))
            || source.text().contains(&format!("alias {program}"));
        if !names_file || is_other {
            continue;
        }
        let message = format!("{} does not write its input to a file; `tee` does", quoted(program));
        out.push(step.finding(source, &rules::MISSPELLED_TEE, command, message, "write `tee`"));
    }
}
