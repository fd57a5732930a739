//! Checks systemd units and drop-ins: sections, settings, commands, and required settings.

mod names;
mod relations;
mod times;
mod unit;

use super::file::{Content, ContentFault};
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{did_you_mean, quoted};
pub(crate) use relations::{is_like_special_target, is_special_target};
use unit::{Setting, Unit, split_words, unit_of_path};

const BOOLEANS: &str = "1 yes y true t on 0 no n false f off";

/// Settings with fixed values: section (empty for the unit's own section), name, values.
const WORDS: &[(&str, &str, &str)] = &[
    ("Service", "Type", "simple exec forking oneshot dbus notify notify-reload idle"),
    ("Service", "Restart", "no on-success on-failure on-abnormal on-watchdog on-abort always"),
    ("Service", "RestartMode", "normal direct debug"),
    ("Service", "NotifyAccess", "none main exec all"),
    ("", "KillMode", "control-group process mixed none"),
    ("Service", "RemainAfterExit", BOOLEANS),
    ("Service", "GuessMainPID", BOOLEANS),
    ("", "NoNewPrivileges", BOOLEANS),
    ("", "DynamicUser", BOOLEANS),
    ("", "ProtectKernelModules", BOOLEANS),
    ("", "ProtectKernelTunables", BOOLEANS),
    ("", "ProtectKernelLogs", BOOLEANS),
    ("", "ProtectClock", BOOLEANS),
    ("", "LockPersonality", BOOLEANS),
    ("", "RestrictRealtime", BOOLEANS),
    ("", "RestrictSUIDSGID", BOOLEANS),
    ("", "SendSIGHUP", BOOLEANS),
    ("", "SendSIGKILL", BOOLEANS),
    ("", "CPUAccounting", BOOLEANS),
    ("", "MemoryAccounting", BOOLEANS),
    ("", "TasksAccounting", BOOLEANS),
    ("Unit", "DefaultDependencies", BOOLEANS),
    ("Unit", "StopWhenUnneeded", BOOLEANS),
    ("Unit", "RefuseManualStart", BOOLEANS),
    ("Unit", "RefuseManualStop", BOOLEANS),
    ("Timer", "Persistent", BOOLEANS),
    ("Timer", "WakeSystem", BOOLEANS),
    ("Socket", "Accept", BOOLEANS),
];

/// Settings whose value is a span of time.
const SPANS: [&str; 19] = [
    "AccuracySec", "JobRunningTimeoutSec", "JobTimeoutSec", "OnActiveSec", "OnBootSec", "OnStartupSec",
    "OnUnitActiveSec", "OnUnitInactiveSec", "RandomizedDelaySec", "RestartMaxDelaySec", "RestartSec", "RuntimeMaxSec",
    "StartLimitIntervalSec", "TimeoutAbortSec", "TimeoutIdleSec", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec",
    "WatchdogSec",
];

pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let Some((kind, own, is_drop_in)) = unit_of_path(content.path) else { return };
    // An empty file masks the unit; an appended text may begin inside a section.
    if content.appends || content.text.trim().is_empty() {
        return;
    }
    let mut unit = Unit { kind, own, text: content.text, header: None, settings: Vec::new() };
    unit.read(out);
    for setting in &unit.settings {
        unit.check_value(setting, out);
        check_time(setting, out);
        if setting.name.starts_with("Exec") && Some(setting.section) == unit.own {
            check_command(setting, out);
        }
    }
    if !is_drop_in {
        unit.check_required_settings(out);
    }
    relations::check(&unit, is_drop_in, out);
}

/// The programs of `ExecStart=` in a service, with their spans; without those whose failure is
/// ignored (`-`).
pub(crate) fn required_programs(path: &str, text: &str) -> Vec<(String, Span)> {
    let commands = setting_values(path, text, "ExecStart").into_iter();
    commands.filter_map(|(value, span)| Some((program_of(&value)?, span))).collect()
}

/// The values of a setting of a service that have an effect, with their spans.
pub(crate) fn setting_values(path: &str, text: &str, name: &str) -> Vec<(String, Span)> {
    let Some(("service", own, _)) = unit_of_path(path) else { return Vec::new() };
    let mut unit = Unit { kind: "service", own, text, header: None, settings: Vec::new() };
    unit.read(&mut Vec::new());
    unit.effective_values(name).iter().map(|setting| (setting.value.to_string(), setting.value_span)).collect()
}

/// A unit that another one names.
#[derive(Debug)]
pub(crate) struct NamedUnit {
    /// The setting that names it, such as `Requires`.
    pub setting: String,
    pub name: String,
    pub span: Span,
}

/// Settings that name a unit without which this one does not start, or is not started; and other names of this unit.
const NAMING: [&str; 10] = [
    "Requires", "Requisite", "BindsTo", "WantedBy", "RequiredBy", "UpheldBy", "Alias", "Accept", "User", "DynamicUser",
];

/// The units that a unit needs, in the order of the settings. `Unit` and `Service` are what a timer, a path or a socket
/// starts. A setting without a unit has its value as the name.
pub(crate) fn named_units(path: &str, text: &str) -> Vec<NamedUnit> {
    let Some((kind, own, _)) = unit_of_path(path) else { return Vec::new() };
    let mut unit = Unit { kind, own, text, header: None, settings: Vec::new() };
    unit.read(&mut Vec::new());
    let is_naming = |setting: &&Setting<'_>| {
        NAMING.contains(&setting.name)
            || matches!((kind, setting.name), ("timer" | "path", "Unit") | ("socket", "Service"))
    };
    let named = unit.settings.iter().filter(is_naming).flat_map(|setting| {
        unit.names(setting).map(|(name, span)| NamedUnit {
            setting: setting.name.to_owned(),
            name: name.to_owned(),
            span,
        })
    });
    named.collect()
}

impl Unit<'_> {
    /// Reports a value that is not one of the setting's fixed values.
    fn check_value(&self, setting: &Setting<'_>, out: &mut Vec<ContentFault>) {
        let entry = WORDS.iter().find(|(section, name, _)| {
            *name == setting.name
                && (*section == setting.section || section.is_empty() && self.own == Some(setting.section))
        });
        let Some((_, _, words)) = entry else { return };
        let value = setting.value.as_ref();
        let is_boolean = *words == BOOLEANS;
        let fits = words.split(' ').any(|word| word == value || is_boolean && word.eq_ignore_ascii_case(value));
        // An empty value resets the setting; values with specifiers are unknown here.
        if value.is_empty() || value.contains('%') || fits {
            return;
        }
        let message =
            format!("{} does not accept the value {}: systemd ignores it", quoted(setting.name), quoted(value));
        let help = match did_you_mean(value, words.split(' ')).filter(|_| !is_boolean) {
            Some(help) => help,
            None if is_boolean => "write `yes` or `no`".into(),
            None => format!("use one of: {}", words.split(' ').collect::<Vec<_>>().join(", ")),
        };
        out.push(ContentFault::new(&rules::UNKNOWN_UNIT_VALUE, setting.value_span, message, Some(help)));
    }

    /// Reports missing settings without which systemd does not load a unit.
    fn check_required_settings(&self, out: &mut Vec<ContentFault>) {
        let starts = |prefix: &str, names: &[&str]| {
            self.settings.iter().any(|setting| {
                !setting.value.is_empty()
                    && (setting.name.starts_with(prefix) && Some(setting.section) == self.own
                        || names.contains(&setting.name))
            })
        };
        let missing = match self.kind {
            "service" => self.check_service(out),
            "timer" if !starts("On", &[]) => Some((
                "the timer never elapses: it has no `OnCalendar=`, `OnBootSec=` or other `On…=`",
                "add one, such as `OnCalendar=daily`",
            )),
            "path" if !starts("Path", &["DirectoryNotEmpty"]) => Some((
                "the path unit watches nothing: it has no `PathExists=`, `PathChanged=` or similar setting",
                "add one",
            )),
            "socket" if !starts("Listen", &[]) => Some((
                "the socket listens nowhere: it has no `ListenStream=` or other `Listen…=`",
                "add one, such as `ListenStream=8080`",
            )),
            "mount" | "swap" if !self.is_set("What") => {
                Some(("`What=` is missing", "add `What=` with a device or a share"))
            }
            _ => None,
        };
        if let Some((message, help)) = missing {
            out.push(self.incomplete(message, help));
        }
    }

    fn incomplete(&self, message: &str, help: &str) -> ContentFault {
        let first = self.text.lines().next().unwrap_or_default();
        let span = self.header.unwrap_or(Span::new(0, first.len()));
        let message = format!("systemd does not load this unit: {message}");
        ContentFault::new(&rules::INCOMPLETE_UNIT, span, message, Some(help.into()))
    }

    fn check_service(&self, out: &mut Vec<ContentFault>) -> Option<(&'static str, &'static str)> {
        let commands = self.effective_values("ExecStart");
        let kind = self.effective_values("Type").last().map(|setting| setting.value.as_ref());
        let remains = self.effective_values("RemainAfterExit").last().is_some_and(|setting| {
            ["1", "yes", "y", "true", "t", "on"].iter().any(|word| word.eq_ignore_ascii_case(&setting.value))
        });
        let after = self.is_set("SuccessAction");
        let oneshot = kind == Some("oneshot") || kind.is_none() && commands.is_empty() && !self.is_set("BusName");
        if commands.is_empty() {
            return if !self.is_set("ExecStop") && !after {
                Some(("a service needs `ExecStart=`", "add `ExecStart=` with the program's full path"))
            } else if !remains && !after {
                Some(("a service without `ExecStart=` needs `RemainAfterExit=yes`", "add one of the two"))
            } else if !oneshot {
                Some(("`ExecStart=` is optional only with `Type=oneshot`", "add `ExecStart=`, or use `Type=oneshot`"))
            } else {
                None
            };
        }
        if let (false, [first, .., last]) = (oneshot, commands.as_slice()) {
            let message = "systemd does not load this unit: several `ExecStart=` are allowed only with `Type=oneshot`";
            let help = "move preparations to `ExecStartPre=`, or use `Type=oneshot`";
            let mut fault =
                ContentFault::new(&rules::INCOMPLETE_UNIT, last.name_span, message.into(), Some(help.into()));
            fault.related.push((first.name_span, "the first one".into()));
            out.push(fault);
        }
        let restart = self.effective_values("Restart").last().copied();
        if let Some(restart) =
            restart.filter(|restart| oneshot && matches!(restart.value.as_ref(), "always" | "on-success"))
        {
            let message = "systemd does not load this unit: `Type=oneshot` does not allow a restart after success";
            let help = "use `Restart=on-failure` or `no`, or another `Type=`";
            out.push(ContentFault::new(&rules::INCOMPLETE_UNIT, restart.value_span, message.into(), Some(help.into())));
        }
        if kind == Some("dbus") && !self.is_set("BusName") {
            return Some(("a service of `Type=dbus` needs `BusName=`", "add `BusName=`"));
        }
        None
    }
}

/// Reports a time that systemd cannot read.
fn check_time(setting: &Setting<'_>, out: &mut Vec<ContentFault>) {
    let value = setting.value.as_ref();
    if value.is_empty() || value.contains('%') {
        return;
    }
    let help = if setting.section == "Timer" && setting.name == "OnCalendar" {
        if times::is_calendar_event(value) {
            return;
        }
        "write it as `Mon..Fri 05:00` or `daily`; `systemd-analyze calendar` explains one"
    } else if SPANS.contains(&setting.name) && !times::is_span(value) {
        "write it as `90`, `5min` or `1h 30min`"
    } else {
        return;
    };
    let message = format!("{} does not accept the time {}: systemd ignores it", quoted(setting.name), quoted(value));
    out.push(ContentFault::new(&rules::UNKNOWN_UNIT_VALUE, setting.value_span, message, Some(help.into())));
}

/// Shell syntax that systemd passes to the program as arguments.
const OPERATORS: [&str; 9] = ["&&", "||", "|", ">", ">>", "<", "2>&1", "2>/dev/null", ">/dev/null"];
/// Programs that accept such arguments.
const ACCEPT_OPERATORS: [&str; 4] = ["test", "[", "expr", "find"];

/// Checks the command of an `Exec…=` setting.
fn check_command(setting: &Setting<'_>, out: &mut Vec<ContentFault>) {
    let value = setting.value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    if value.is_empty() {
        return;
    }
    let Some(words) = split_words(value) else {
        let message = format!("a quote in {} is not closed: systemd rejects the command", quoted(setting.name));
        let help = Some("close it, or write `\\'` for an apostrophe".into());
        out.push(ContentFault::new(&rules::INVALID_UNIT_COMMAND, setting.value_span, message, help));
        return;
    };
    let Some(program) = words.first().map(|word| word.text.as_str()) else { return };
    if !program.starts_with('/') && program.contains('/') && !program.contains('%') {
        let message = format!("expected a program's full path, or its name alone, found {}", quoted(program));
        let help = if program.contains('$') {
            "systemd puts no variables into the program's name: write the path, or start it through `/bin/sh -c`"
        } else {
            "write the full path"
        };
        out.push(ContentFault::new(&rules::INVALID_UNIT_COMMAND, setting.value_span, message, Some(help.into())));
        return;
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let operator = words.iter().skip(1).find(|word| !word.quoted && OPERATORS.contains(&word.text.as_str()));
    if let Some(operator) = operator.filter(|_| !ACCEPT_OPERATORS.contains(&name)) {
        let message =
            format!("{} is passed to the program as an argument: systemd does not use a shell", quoted(&operator.text));
        let help = Some("use `/bin/sh -c '…'`, several `Exec…=` settings, or `StandardOutput=`".into());
        out.push(ContentFault::new(&rules::SHELL_SYNTAX_IN_UNIT, setting.value_span, message, help));
    }
}

/// The program of a command, unless its failure is ignored.
fn program_of(value: &str) -> Option<String> {
    let command = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefix = &value[..value.len() - command.len()];
    let first = split_words(command)?.into_iter().next()?;
    (!prefix.contains('-')).then_some(first.text)
}
