//! Checks what a unit says about other units, and whether a service starts as its `Type=` promises.

use super::unit::{Setting, Unit, split_words};
use crate::content::file::ContentFault;
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{closest, quoted};

/// Settings that name units.
const RELATIONS: [&str; 13] = [
    "After", "Before", "Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts", "OnFailure",
    "WantedBy", "RequiredBy", "Also",
];
/// A unit that is needed, but is not ordered by it.
const REQUIREMENTS: [&str; 2] = ["Requires", "BindsTo"];
/// systemd orders these by itself, or they have nothing to wait for.
const ORDERED: [&str; 7] = ["socket", "mount", "automount", "swap", "slice", "device", "target"];
const ONLINE: &str = "network-online.target";
const SUFFIXES: [&str; 11] =
    ["service", "socket", "mount", "automount", "swap", "timer", "path", "slice", "scope", "target", "device"];

/// The targets of systemd.special(7) and of cloud-init, without the suffix.
const TARGETS: &[&str] = &[
    "basic", "blockdev@", "bluetooth", "boot-complete", "cloud-config", "cloud-init", "cryptsetup", "cryptsetup-pre",
    "default", "emergency", "exit", "factory-reset", "final", "first-boot-complete", "getty", "getty-pre", "graphical",
    "halt", "hibernate", "hybrid-sleep", "initrd", "initrd-fs", "initrd-root-device", "initrd-root-fs",
    "initrd-switch-root", "initrd-usr-fs", "integritysetup", "integritysetup-pre", "kexec", "local-fs", "local-fs-pre",
    "machines", "multi-user", "network", "network-online", "network-pre", "nss-lookup", "nss-user-lookup", "paths",
    "poweroff", "printer", "reboot", "remote-cryptsetup", "remote-fs", "remote-fs-pre", "remote-veritysetup", "rescue",
    "rpcbind", "shutdown", "sigpwr", "sleep", "slices", "smartcard", "sockets", "soft-reboot", "sound", "ssh-access",
    "suspend", "suspend-then-hibernate", "swap", "sysinit", "system-update", "system-update-pre", "time-set",
    "time-sync", "timers", "umount", "usb-gadget", "veritysetup", "veritysetup-pre",
];

/// Whether a target is one of systemd's.
pub(crate) fn is_special_target(name: &str) -> bool {
    name.strip_suffix(".target").is_some_and(|stem| TARGETS.contains(&stem))
}

/// Whether a target is one of systemd's, or a misspelled one.
pub(crate) fn is_like_special_target(name: &str) -> bool {
    name.strip_suffix(".target").is_some_and(|stem| closest(stem, TARGETS.iter().copied()).is_some())
}

pub(super) fn check(unit: &Unit<'_>, is_drop_in: bool, out: &mut Vec<ContentFault>) {
    for setting in unit.settings.iter().filter(|setting| RELATIONS.contains(&setting.name)) {
        for (name, span) in unit.names(setting) {
            check_name(setting, name, span, out);
        }
    }
    // A drop-in changes a unit whose other settings are not known here.
    if unit.kind == "service" && !is_drop_in {
        check_order(unit, out);
        check_type(unit, out);
    }
}

fn check_name(setting: &Setting<'_>, name: &str, span: Span, out: &mut Vec<ContentFault>) {
    // Specifiers and a template's own instance are filled in later.
    if name.contains('%') || name.contains('$') {
        return;
    }
    let mut report = |message: String, help: String| {
        out.push(ContentFault::new(&rules::UNKNOWN_UNIT, span, message, Some(help)));
    };
    match name.rsplit_once('.') {
        Some((stem, "target")) => {
            if let Some(near) =
                closest(stem, TARGETS.iter().copied()).filter(|near| *near != stem && !TARGETS.contains(&stem))
            {
                let effect = match setting.name {
                    "WantedBy" | "RequiredBy" => "so that nothing starts this unit",
                    _ => "so that this line has no effect",
                };
                report(format!("there is no {}, {effect}", quoted(name)), format!("did you mean `{near}.target`?"));
            }
        }
        Some((_, suffix)) if SUFFIXES.contains(&suffix) => {}
        _ => {
            let message = format!("{} is not the name of a unit: systemd ignores it", quoted(name));
            let suffix = if TARGETS.contains(&name) { "target" } else { "service" };
            report(message, format!("write it with its suffix: `{name}.{suffix}`"));
        }
    }
}

/// Reports a unit that is needed at the start, but is started at the same time.
fn check_order(unit: &Unit<'_>, out: &mut Vec<ContentFault>) {
    let named = |settings: &[&str]| -> Vec<(&str, Span)> {
        let settings = unit.settings.iter().filter(|setting| settings.contains(&setting.name));
        settings.flat_map(|setting| unit.names(setting)).collect()
    };
    let ordered = named(&["After", "Before"]);
    let has_no_order = |name: &str| !ordered.iter().any(|(other, _)| *other == name);
    for (name, span) in named(&REQUIREMENTS) {
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        if name.contains('%') || ORDERED.contains(&suffix) || !SUFFIXES.contains(&suffix) || !has_no_order(name) {
            continue;
        }
        let message = format!("{} is started at the same time as this service, not before it", quoted(name));
        let help = format!("add `After={name}`");
        out.push(ContentFault::new(&rules::DEPENDENCY_WITHOUT_ORDER, span, message, Some(help)));
    }
    let wanted = named(&["Wants", "Requires", "BindsTo", "Requisite", "Upholds"]);
    // A timer or another unit may start it later, when the network is up anyway.
    let starts_at_boot = !named(&["WantedBy", "RequiredBy"]).is_empty();
    if let Some((_, span)) = named(&["After"]).into_iter().find(|(name, _)| *name == ONLINE)
        && starts_at_boot
        && !wanted.iter().any(|(name, _)| *name == ONLINE)
    {
        let message = format!("`After=` only orders this service and {ONLINE}: it does not start the target");
        let help = format!("add `Wants={ONLINE}`");
        out.push(ContentFault::new(&rules::DEPENDENCY_WITHOUT_ORDER, span, message, Some(help)));
    }
}

/// Programs that stay in the foreground, unless one of these arguments is there.
const FOREGROUND: &[(&str, &[&str])] = &[
    ("bun", &[]),
    ("caddy", &["start"]),
    ("cockroach", &["--background", "--background=true"]),
    ("deno", &[]),
    ("etcd", &[]),
    ("gunicorn", &["--daemon", "-D"]),
    ("java", &[]),
    ("minio", &[]),
    ("mongod", &["--fork"]),
    ("nakama", &[]),
    ("node", &[]),
    ("node_exporter", &[]),
    ("prometheus", &[]),
    ("traefik", &[]),
    ("uvicorn", &[]),
];
/// Arguments that put a program into the background.
const BACKGROUND: &[(&str, &[&str])] = &[
    ("cockroach", &["--background", "--background=true"]),
    ("gunicorn", &["--daemon", "-D"]),
    ("mongod", &["--fork"]),
];

/// Reports a program that does not start as the `Type=` of its service says.
fn check_type(unit: &Unit<'_>, out: &mut Vec<ContentFault>) {
    let kind = unit.effective_values("Type").last().map_or("simple", |setting| setting.value.as_ref());
    for command in unit.effective_values("ExecStart") {
        let value = command.value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let Some(words) = split_words(value) else { continue };
        let mut words = words.iter().map(|word| word.text.as_str());
        let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let has_one_of = |known: &[&str]| arguments.iter().any(|argument| known.contains(argument));
        let of = |table: &'static [(&str, &[&str])]| {
            table.iter().find(|(name, _)| *name == program).map(|(_, flags)| *flags)
        };
        let may_join = arguments.iter().any(|word| word.starts_with("--join") || word.contains(['$', '%']));
        if program == "cockroach" && arguments.first() == Some(&"start") && !may_join {
            let message = "`cockroach start` without `--join` ends with an error".to_owned();
            let help = "use `start-single-node`, or name the nodes of the cluster: `--join=HOST,HOST`";
            let rule = &rules::COCKROACH_WITHOUT_JOIN;
            out.push(ContentFault::new(rule, command.value_span, message, Some(help.into())));
        }
        let (message, help) = match kind {
            "forking" => match of(FOREGROUND) {
                Some(flags) if !has_one_of(flags) => {
                    let help = match flags.first() {
                        Some(flag) => format!("use `Type=simple`, or add `{flag}`"),
                        None => "use `Type=simple`".to_owned(),
                    };
                    (
                        format!(
                            "{} stays in the foreground: with `Type=forking`, its start ends at the time limit",
                            quoted(program)
                        ),
                        help,
                    )
                }
                _ => continue,
            },
            "simple" | "exec" | "notify" | "notify-reload" | "idle" => match of(BACKGROUND) {
                Some(flags) if has_one_of(flags) => {
                    let flag = arguments.iter().find(|argument| flags.contains(argument)).copied().unwrap_or_default();
                    (
                        format!(
                            "{} goes into the background: with `Type={kind}`, systemd takes that for its end",
                            quoted(program)
                        ),
                        format!("remove `{flag}`, or use `Type=forking`"),
                    )
                }
                _ => continue,
            },
            _ => continue,
        };
        out.push(ContentFault::new(&rules::WRONG_SERVICE_TYPE, command.value_span, message, Some(help)));
    }
}
