//! Commands of `bootcmd` that must not run in every boot, or that run too early.

use super::steps::{Boot, BootStep, MAX_COMPARED, Stage};
use crate::rules;
use crate::shell::{Input, Interpreter, SimpleCommand, read};
use diagnostics::source::Source;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    if boot.commands(Stage::Bootcmd).next().is_none() {
        return;
    }
    let before = out.len();
    check_formatting(boot.source(), "`bootcmd`", bootcmd_steps(boot), out);
    check_appending(boot, out);
    // A construct that continues in the next item may contain commands that look unconditional.
    if out.len() > before && !all_items_are_complete(boot) {
        out.truncate(before);
    }
    check_downloads(boot, out);
}

/// Whether the shell can parse each item on its own.
fn all_items_are_complete(boot: &Boot<'_, '_>) -> bool {
    let steps = boot.steps.iter().filter(|step| step.stage == Stage::Bootcmd);
    let mut texts = steps.filter_map(|step| step.node.and_then(Node::as_str));
    texts.all(|text| {
        let script = read(text, Interpreter::Sh).script;
        script.error.is_none() && script.is_understood
    })
}

/// Programs that tell nothing about the state of the machine: `&&` after them is not a test.
const NOT_TESTS: &[&str] = &[
    "apt", "apt-get", "blkdiscard", "cd", "chmod", "chown", "dd", "echo", "export", "fdisk", "mkdir", "mkswap",
    "modprobe", "parted", "partprobe", "partx", "printf", "set", "sfdisk", "sgdisk", "sleep", "sync", "touch",
    "udevadm", "wipefs",
];

/// Whether a command certainly runs: no condition and no `cloud-init-per` is around it.
pub(super) fn always_runs(step: &BootStep<'_>, at: usize) -> bool {
    let command = &step.commands[at];
    if command.written.contains("cloud-init-per") {
        return false;
    }
    if !command.conditional {
        return true;
    }
    let Some(text) = step.node.and_then(Node::as_str) else { return false };
    // A loop over what a command prints may have only some disks.
    let chooses = command.in_loop && text.contains(['`', '(']);
    let has_condition = chooses
        || text.contains("||")
        || text.contains("()")
        || text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| matches!(word, "if" | "case" | "while" | "until" | "test" | "function") || word == "exec");
    !has_condition
        && !command.in_subshell
        && step.commands[..at].iter().all(|before| {
            let program = before.program();
            NOT_TESTS.contains(&program) || program.starts_with("mkfs") || program == "mke2fs"
        })
}

/// The commands that run each time that the steps run, up to one that may end them.
fn repeated_commands<'b, 't>(
    steps: impl Iterator<Item = &'b BootStep<'t>>,
) -> Vec<(&'b BootStep<'t>, &'b SimpleCommand<'t>)>
where
    't: 'b,
{
    let mut out = Vec::new();
    for step in steps {
        for (at, command) in step.commands.iter().enumerate() {
            let ends = matches!(command.program(), "exit" | "return" | "exec") || command.written.starts_with("exec ");
            // A test alone ends a script with `set -e`.
            let is_test = matches!(command.program(), "[" | "test" | "grep" | "blkid") && !command.conditional;
            if ends || is_test {
                return out;
            }
            if always_runs(step, at) {
                out.push((step, command));
            }
        }
    }
    out
}

fn bootcmd_steps<'b, 't>(boot: &'b Boot<'_, 't>) -> impl Iterator<Item = &'b BootStep<'t>> {
    boot.steps.iter().filter(|step| step.stage == Stage::Bootcmd)
}

/// Reports commands that format or partition a disk. `runner` is what runs them in every boot.
pub(super) fn check_formatting<'b, 't: 'b>(
    source: &Source,
    runner: &str,
    steps: impl Iterator<Item = &'b BootStep<'t>>,
    out: &mut Vec<Diagnostic>,
) {
    for (step, command) in repeated_commands(steps) {
        let Some(does) = destroys(command) else { continue };
        let message = format!("{runner} runs in every boot: {} {does} again each time", quoted(command.program()));
        let help = "use `disk_setup` and `fs_setup`, or `cloud-init-per once NAME …`";
        out.push(step.finding(source, &rules::FORMATS_DISK_IN_BOOTCMD, command, message, help));
    }
}

/// What a command does to a disk whose content would be lost. Commands that refuse a disk that is in
/// use, such as `mkfs.xfs` without `-f`, are not listed.
fn destroys(command: &SimpleCommand<'_>) -> Option<&'static str> {
    const FORMATS: &str = "formats the disk";
    const PARTITIONS: &str = "partitions the disk";
    const ERASES: &str = "erases the disk";
    let arguments = command.arguments();
    let short = |letter: char| {
        arguments
            .iter()
            .any(|word| word.starts_with('-') && !word.starts_with("--") && word.len() <= 4 && word.contains(letter))
    };
    // The content of these is lost at the end of a boot.
    let is_volatile = |word: &str| ["/dev/ram", "/dev/zram", "/dev/shm"].iter().any(|start| word.starts_with(start));
    if command.operands().any(is_volatile) || command.has(&["--help", "-h", "--version", "-V"]) {
        return None;
    }
    let is_device = |word: &str| word.starts_with("/dev/") || word.starts_with(['$', '"']) || word.contains("=/dev/");
    if !command.operands().any(is_device) {
        return None;
    }
    let program = command.program();
    let is_fed = command.input != Input::Inherited;
    if program == "mke2fs" || program == "mkfs" || program.starts_with("mkfs.") {
        let option = arguments.iter().position(|word| word == "-t" || word == "--type");
        let named = option.and_then(|at| arguments.get(at + 1)).map(AsRef::as_ref);
        let kind = program.strip_prefix("mkfs.").or(named).unwrap_or("ext2");
        let is_forced = short('f') || command.has(&["--force"]);
        let overwrites = match kind {
            "ext2" | "ext3" | "ext4" => !short('n'),
            "xfs" | "btrfs" | "f2fs" => is_forced,
            "vfat" | "fat" | "msdos" | "ntfs" => true,
            _ => false,
        };
        return overwrites.then_some(FORMATS);
    }
    match program {
        "parted" => command.has(&["mklabel", "mktable", "mkpart", "rm"]).then_some(PARTITIONS).or_else(|| {
            // All commands of parted may be in one word.
            let in_word = |word: &str| ["mklabel ", "mktable ", "mkpart "].iter().any(|verb| word.contains(verb));
            arguments.iter().any(|word| in_word(word)).then_some(PARTITIONS)
        }),
        "sgdisk" => {
            let changes = |word: &str| {
                let long = ["--zap", "--clear", "--new", "--delete", "--largest-new"];
                let short = ["-Z", "-z", "-o", "-n", "-d", "-N", "-og", "-go"];
                long.iter().any(|option| word.starts_with(option))
                    || short.iter().any(|option| {
                        word.strip_prefix(option).is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
                    })
            };
            arguments.iter().any(|word| changes(word)).then_some(PARTITIONS)
        }
        "sfdisk" => {
            // `-N` changes one partition, which is how to let it grow.
            let others = ["-l", "--list", "-d", "--dump", "-J", "--json", "-V", "--verify", "-T", "-a", "--append"];
            let reads = command.has(&others)
                || arguments.iter().any(|word| word.starts_with("-N") || word.starts_with("--partno"));
            ((is_fed || command.has(&["--delete"])) && !reads).then_some(PARTITIONS)
        }
        "fdisk" | "gdisk" => (is_fed && !command.has(&["-l", "--list"])).then_some(PARTITIONS),
        "wipefs" => (short('a') && !short('n') || command.has(&["--all"])).then_some(ERASES),
        "blkdiscard" => Some(ERASES),
        "dd" => arguments.iter().any(|word| word.starts_with("of=/dev/") && is_disk(&word[3..])).then_some(ERASES),
        "cryptsetup" => command.has(&["luksFormat"]).then_some(FORMATS),
        _ => None,
    }
}

/// Whether a path is that of a disk or a partition.
fn is_disk(path: &str) -> bool {
    ["/dev/sd", "/dev/vd", "/dev/xvd", "/dev/nvme", "/dev/disk/", "/dev/hd", "/dev/mapper/", "/dev/md"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// Files that another program writes anew in every boot, or that only grow: appending to them is right.
const APPENDED_PATHS: &[&str] = &[
    "/dev/", "/proc/", "/sys/", "/run/", "/tmp/", "/var/run/", "/var/log/", "/var/tmp/", "/etc/hosts",
    "/etc/resolv.conf",
];

/// Reports commands that append to a file.
fn check_appending(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let all: Vec<_> = boot.all_commands().filter(|(step, _)| step.stage == Stage::Bootcmd).collect();
    // A command that writes or edits the file first makes the result the same in each boot.
    let is_reset = |path: &str| {
        all.iter().any(|(_, command)| {
            let program = command.program();
            command.outputs.iter().any(|file| !file.appends && file.path == path)
                || program == "tee" && appended_by_tee(command).is_none() && command.operands().any(|word| word == path)
                || matches!(program, "rm" | "cp" | "mv" | "install" | "sed" | "truncate" | "ln" | "perl" | "grep")
                    && (command.operands().any(|word| word == path) || command.written.contains(path))
        })
    };
    for (step, command) in repeated_commands(bootcmd_steps(boot)).into_iter().take(MAX_COMPARED) {
        let appended = command.outputs.iter().find(|file| file.appends).map(|file| file.path.as_ref());
        let Some(path) = appended.or_else(|| appended_by_tee(command)) else { continue };
        let is_sure = path.starts_with('/')
            && !path.contains(['$', '`', '{', '*'])
            && !path.contains(".log")
            && !APPENDED_PATHS.iter().any(|start| path.starts_with(start));
        let prints = command.input == Input::Pipe || matches!(command.program(), "echo" | "printf" | "cat" | "tee");
        let is_date = command.written.contains("date");
        if !is_sure || !prints || is_date || is_reset(path) {
            continue;
        }
        let message = format!("`bootcmd` runs in every boot: each one appends to {} again", quoted(path));
        let help = "use `write_files` with `append: true`, or `cloud-init-per once NAME …`, or test for the line first";
        out.push(step.finding(boot.source(), &rules::APPENDS_IN_BOOTCMD, command, message, help));
    }
}

/// The file of `tee -a FILE`.
fn appended_by_tee<'c>(command: &'c SimpleCommand<'_>) -> Option<&'c str> {
    (command.program() == "tee" && command.has(&["-a", "--append"])).then(|| command.operands().next()).flatten()
}

/// Programs that show that somebody waits for the network.
const NETWORK_TESTS: &[&str] = &[
    "ping", "ping6", "getent", "host", "nslookup", "dig", "nc", "ncat", "nm-online", "systemd-networkd-wait-online",
    "networkctl", "resolvectl", "dhclient", "netplan", "ifup", "sleep", "wait-for-it", "nmcli",
];

/// Reports downloads from hosts whose names may not be resolved yet.
fn check_downloads(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let text = boot.source().text();
    if ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].iter().any(|name| text.contains(name)) {
        return;
    }
    for step in boot.steps.iter().filter(|step| step.stage == Stage::Bootcmd) {
        for command in &step.commands {
            let prepares = NETWORK_TESTS.contains(&command.program())
                || ["resolv.conf", "systemd-resolved", "/etc/hosts", "systemd-networkd", "network-online"]
                    .iter()
                    .any(|name| command.written.contains(name))
                || command.outputs.iter().any(|file| file.path.contains("resolv.conf") || file.path == "/etc/hosts");
            // A loop tries again.
            if prepares || command.in_loop {
                return;
            }
            let Some(host) = downloads_from(command) else { continue };
            let message = format!(
                "{} often cannot be found yet in `bootcmd`, which runs before the network is fully up",
                quoted(host)
            );
            let help = if is_apt_key(command) {
                "set `key` or `keyid` in `apt: sources:` with `signed-by=$KEY_FILE`, or move the command to `runcmd`"
            } else {
                "move the command to `runcmd`, which runs when the network is up"
            };
            out.push(step.finding(boot.source(), &rules::DOWNLOAD_IN_BOOTCMD, command, message, help));
            break;
        }
    }
}

/// The host of `--keyserver`.
fn key_server<'c>(command: &'c SimpleCommand<'_>) -> Option<&'c str> {
    let words = command.arguments();
    let at = words.iter().position(|word| word.starts_with("--keyserver"))?;
    let written = match words[at].split_once('=') {
        Some((_, server)) => server,
        None => words.get(at + 1)?.as_ref(),
    };
    let name = written.rsplit('/').next()?.split(':').next()?;
    let is_name = name.contains('.') && name.ends_with(|c: char| c.is_ascii_alphabetic()) && !name.contains('$');
    is_name.then_some(name)
}

/// Whether a command downloads a signing key of apt.
fn is_apt_key(command: &SimpleCommand<'_>) -> bool {
    ["keyring", "gpg", ".asc", "trusted", ".key", "apt-key"].iter().any(|part| command.written.contains(part))
}

/// The host from which a command downloads, if its name must be looked up.
fn downloads_from<'c>(command: &'c SimpleCommand<'_>) -> Option<&'c str> {
    let is_downloader = match command.program() {
        "curl" => {
            let retries = |word: &str| ["--retry", "--resolve", "--proxy", "-x"].iter().any(|o| word.starts_with(o));
            !command.arguments().iter().any(|word| retries(word))
        }
        "wget" => !command.has(&["--retry-on-host-error"]),
        "git" => command.has(&["clone"]),
        "rpm" => command.has(&["--import", "-i", "-U", "-Uvh", "-ivh"]),
        "add-apt-repository" => true,
        "pip" | "pip3" if command.has(&["install"]) => {
            let is_local = |word: &str| {
                ["--no-index", "--index-url", "--find-links", "-i", "-f", "-e"]
                    .iter()
                    .any(|option| word.starts_with(option))
                    || word.contains(['/', '$'])
            };
            let words = command.arguments();
            return (!words.iter().any(|word| is_local(word))).then_some("pypi.org");
        }
        "gpg" | "apt-key" if command.written.contains("--recv") => return key_server(command),
        _ => false,
    };
    if !is_downloader {
        return None;
    }
    command.arguments().iter().find_map(|word| {
        let at = ["https://", "http://", "ftp://"].iter().find_map(|scheme| Some(word.find(scheme)? + scheme.len()))?;
        let host = word[at..].split(['/', '?', '#']).next()?.rsplit('@').next()?;
        let name = host.split(':').next()?;
        let is_name = name.contains('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            && name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let is_local = ["localhost", "metadata.google.internal", "metadata.internal"].contains(&name)
            || name.ends_with(".localhost");
        (is_name && !is_local).then_some(name)
    })
}
