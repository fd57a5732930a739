//! Checks systemd units and drop-ins: sections, settings, commands, and required settings.

mod names;
mod relations;
mod times;

use std::borrow::Cow;

use super::{Content, ContentFault};
use crate::rules;
use diagnostics::quoted;
use diagnostics::source::Span;
use diagnostics::{closest, did_you_mean};

/// The directories of units.
const FOLDERS: [&str; 2] = ["/systemd/system/", "/systemd/user/"];
const ROOTS: [&str; 5] = ["/etc", "/usr/lib", "/lib", "/run", "/usr/local/lib"];

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

struct Unit<'t> {
    /// The suffix of the name, such as `service`.
    kind: &'static str,
    /// The section of this kind of unit, such as `Service`.
    own: Option<&'static str>,
    text: &'t str,
    /// The span of the last header of this section.
    header: Option<Span>,
    settings: Vec<Setting<'t>>,
}

/// A setting, with continuation lines joined.
struct Setting<'t> {
    section: &'t str,
    name: &'t str,
    name_span: Span,
    value: Cow<'t, str>,
    /// On the first line.
    value_span: Span,
}

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
    let Some(("service", own, _)) = unit_of_path(path) else { return Vec::new() };
    let mut unit = Unit { kind: "service", own, text, header: None, settings: Vec::new() };
    unit.read(&mut Vec::new());
    let commands = unit.effective_values("ExecStart");
    commands.iter().filter_map(|setting| Some((program_of(&setting.value)?, setting.value_span))).collect()
}

/// The kind and section of a unit by its path, and whether the file is a drop-in.
fn unit_of_path(path: &str) -> Option<(&'static str, Option<&'static str>, bool)> {
    let root = ROOTS.iter().find(|root| path.strip_prefix(*root).is_some_and(|rest| rest.starts_with("/systemd/")))?;
    let below = FOLDERS.iter().find_map(|folder| path[root.len()..].strip_prefix(folder))?;
    let (name, is_drop_in) = match below.split_once('/') {
        None => (below, false),
        Some((folder, file)) if super::has_ending(file, "conf") && !file.contains('/') => {
            (folder.strip_suffix(".d")?, true)
        }
        Some(_) => return None,
    };
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    if !is_drop_in && ending == name {
        return None;
    }
    let (kind, own) = names::kind(ending)?;
    Some((kind, own, is_drop_in))
}

impl<'t> Unit<'t> {
    /// The sections that systemd accepts in a unit of this kind.
    fn sections(&self) -> Vec<&'static str> {
        ["Unit", "Install"].into_iter().chain(self.own).collect()
    }

    /// Parses sections and settings, and reports unknown ones.
    fn read(&mut self, out: &mut Vec<ContentFault>) {
        let sections = self.sections();
        let mut section: Option<&str> = None;
        let mut known = true;
        let mut lines = super::lines(self.text).peekable();
        while let Some((start, line)) = lines.next() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with(['#', ';']) {
                continue;
            }
            let first = start + (line.len() - line.trim_start().len());
            let span = Span::new(first, first + bare.len());
            // A backslash at the end joins lines; comments between them are skipped.
            let mut joined = Cow::Borrowed(bare);
            while joined.ends_with('\\') {
                let before = joined.trim_end_matches('\\').trim_end().to_string();
                let mut next = lines.next();
                while next.is_some_and(|(_, line)| line.trim_start().starts_with(['#', ';'])) {
                    next = lines.next();
                }
                let Some((_, next)) = next else { break };
                joined = Cow::Owned(before + " " + next.trim());
            }
            if bare.starts_with('[') {
                let Some(name) = bare.strip_prefix('[').and_then(|name| name.strip_suffix(']')) else {
                    let message = format!("expected `]` at the end of the section's header, found {}", quoted(bare));
                    let help = Some("systemd does not load a unit with such a line".into());
                    out.push(ContentFault::new(&rules::MALFORMED_UNIT_LINE, span, message, help));
                    section = None;
                    known = false;
                    continue;
                };
                section = Some(name);
                known = sections.contains(&name);
                if self.own == Some(name) {
                    self.header = Some(span);
                }
                if !known && !name.starts_with("X-") {
                    out.push(self.unknown_section(name, span, &sections));
                }
                continue;
            }
            let Some((name, value)) = joined.split_once('=') else {
                let message = format!("expected `Name=value`, found {}", quoted(bare));
                let help = Some("systemd ignores such a line; begin a comment with `#`".into());
                out.push(ContentFault::new(&rules::MALFORMED_UNIT_LINE, span, message, help));
                continue;
            };
            let Some(section) = section else {
                if known {
                    let message = format!("the setting {} is before the first section", quoted(name.trim()));
                    let help = Some(format!("put it below a header such as `[{}]`", self.own.unwrap_or("Unit")));
                    out.push(ContentFault::new(&rules::MALFORMED_UNIT_LINE, span, message, help));
                }
                continue;
            };
            if !known {
                continue;
            }
            let length = name.trim_end().len();
            let name_span = Span::new(first, first + length);
            let Some(name) = self.text.get(name_span.start..name_span.end) else { continue };
            let value_start = first + bare.find('=').map_or(bare.len(), |at| at + 1);
            let shown = self.text.get(value_start..span.end).unwrap_or_default();
            let value_span = Span::new(value_start + (shown.len() - shown.trim_start().len()), span.end);
            if name.is_empty() {
                let message = "expected the name of a setting before `=`".to_string();
                out.push(ContentFault::new(&rules::MALFORMED_UNIT_LINE, span, message, None));
                continue;
            }
            if name.starts_with("X-") {
                continue;
            }
            if names::settings(section).is_some_and(|mut names| names.any(|known| known == name)) {
                let value = Cow::Owned(value.trim().to_string());
                self.settings.push(Setting { section, name, name_span, value, value_span });
            } else {
                out.push(unknown_setting(name, section, name_span, &sections));
            }
        }
    }

    fn unknown_section(&self, name: &str, span: Span, sections: &[&'static str]) -> ContentFault {
        let message = match names::settings(name) {
            Some(_) => format!("a {} unit has no section {}: systemd ignores it", self.kind, quoted(name)),
            None => format!("systemd does not know the section {}, and ignores it", quoted(name)),
        };
        let help = match closest(name, sections.iter().copied()) {
            Some(near) => format!("did you mean `[{near}]`?"),
            None => {
                let all: Vec<_> = sections.iter().map(|name| format!("`[{name}]`")).collect();
                format!("use {}; sections for other programs begin with `X-`", all.join(", "))
            }
        };
        ContentFault::new(&rules::UNKNOWN_UNIT_SECTION, span, message, Some(help))
    }

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

    /// The effective values of a setting: an empty value resets the previous ones.
    fn effective_values(&self, name: &str) -> Vec<&Setting<'t>> {
        let mut out = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.name == name) {
            if setting.value.is_empty() {
                out.clear();
            } else {
                out.push(setting);
            }
        }
        out
    }

    fn is_set(&self, name: &str) -> bool {
        !self.effective_values(name).is_empty()
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

fn unknown_setting(name: &str, section: &str, span: Span, sections: &[&'static str]) -> ContentFault {
    let message = format!("systemd does not know the setting {} in `[{section}]`, and ignores it", quoted(name));
    let help = match names::home(name, sections) {
        Some(home) => format!("move it to the section `[{home}]`"),
        None => names::settings(section)
            .and_then(|names| did_you_mean(name, names))
            .unwrap_or_else(|| "remove it, or begin its name with `X-` if it is for another program".into()),
    };
    ContentFault::new(&rules::UNKNOWN_UNIT_SETTING, span, message, Some(help))
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

struct Word {
    text: String,
    quoted: bool,
}

/// Splits words like systemd; `None` if a quote is not closed.
fn split_words(value: &str) -> Option<Vec<Word>> {
    let mut out: Vec<Word> = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', _) => {
                let word = word.get_or_insert_with(|| Word { text: String::new(), quoted: true });
                word.quoted = true;
                word.text.extend(characters.next());
            }
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_with(|| Word { text: String::new(), quoted: true }).quoted = true;
            }
            (_, Some(open)) if character == open => quote = None,
            (_, None) if character.is_ascii_whitespace() => out.extend(word.take()),
            _ => word.get_or_insert_with(|| Word { text: String::new(), quoted: false }).text.push(character),
        }
    }
    out.extend(word);
    quote.is_none().then_some(out)
}
