//! systemd's unit files and drop-ins: sections, settings, commands, and what a unit must have to be loaded.

mod names;

use std::borrow::Cow;

use super::{Content, ContentFault};
use crate::rules;
use diagnostics::closest;
use diagnostics::quoted;
use diagnostics::source::Span;

/// The folders whose units are known by path.
const FOLDERS: [&str; 2] = ["/systemd/system/", "/systemd/user/"];
const ROOTS: [&str; 5] = ["/etc", "/usr/lib", "/lib", "/run", "/usr/local/lib"];

const BOOLEANS: &str = "1 yes y true t on 0 no n false f off";

/// Settings whose values are words: the words, and what the setting is when it is left out.
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

/// A unit by the path of its file.
struct Unit<'t> {
    /// Its name's ending, such as `service`.
    kind: &'static str,
    /// The section of its own.
    own: Option<&'static str>,
    text: &'t str,
    /// The last place of the header of its own section.
    header: Option<Span>,
    settings: Vec<Setting<'t>>,
}

/// A setting, lines joined.
struct Setting<'t> {
    section: &'t str,
    name: &'t str,
    name_span: Span,
    value: Cow<'t, str>,
    /// Of the first line.
    value_span: Span,
}

pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    let Some((kind, own, is_drop_in)) = unit(content.path) else { return };
    // An empty file masks the unit; what is added to one may begin inside a section.
    if content.appends || content.text.trim().is_empty() {
        return;
    }
    let mut unit = Unit { kind, own, text: content.text, header: None, settings: Vec::new() };
    unit.read(out);
    for setting in &unit.settings {
        unit.words(setting, out);
        if setting.name.starts_with("Exec") && Some(setting.section) == unit.own {
            check_command(setting, out);
        }
    }
    if !is_drop_in {
        unit.complete(out);
    }
}

/// The programs that a unit starts and cannot do without, with their places: `ExecStart=` of a service, without a `-`.
pub(crate) fn programs(path: &str, text: &str) -> Vec<(String, Span)> {
    let Some(("service", own, _)) = unit(path) else { return Vec::new() };
    let mut unit = Unit { kind: "service", own, text, header: None, settings: Vec::new() };
    unit.read(&mut Vec::new());
    let commands = unit.values("ExecStart");
    commands.iter().filter_map(|setting| Some((program_of(&setting.value)?, setting.value_span))).collect()
}

/// What unit, if any, a path is of: its kind, the section of its own, and whether it is a drop-in.
fn unit(path: &str) -> Option<(&'static str, Option<&'static str>, bool)> {
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
    /// The sections that systemd reads in a unit of this kind.
    fn sections(&self) -> Vec<&'static str> {
        ["Unit", "Install"].into_iter().chain(self.own).collect()
    }

    /// Reads sections and settings, and says what no unit of this kind has.
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
            // A backslash at the end joins lines; comments between them are passed over.
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

    /// Values that are one of a few words.
    fn words(&self, setting: &Setting<'_>, out: &mut Vec<ContentFault>) {
        let entry = WORDS.iter().find(|(section, name, _)| {
            *name == setting.name
                && (*section == setting.section || section.is_empty() && self.own == Some(setting.section))
        });
        let Some((_, _, words)) = entry else { return };
        let value = setting.value.as_ref();
        let is_boolean = *words == BOOLEANS;
        let fits = words.split(' ').any(|word| word == value || is_boolean && word.eq_ignore_ascii_case(value));
        // An empty value sets it back; what has specifiers is not known here.
        if value.is_empty() || value.contains('%') || fits {
            return;
        }
        let message =
            format!("{} does not accept the value {}: systemd ignores it", quoted(setting.name), quoted(value));
        let help = match closest(value, words.split(' ')).filter(|_| !is_boolean) {
            Some(near) => format!("did you mean `{near}`?"),
            None if is_boolean => "write `yes` or `no`".into(),
            None => format!("use one of: {}", words.split(' ').collect::<Vec<_>>().join(", ")),
        };
        out.push(ContentFault::new(&rules::UNKNOWN_UNIT_VALUE, setting.value_span, message, Some(help)));
    }

    /// The values of a setting that hold: an empty one sets back what was before it.
    fn values(&self, name: &str) -> Vec<&Setting<'t>> {
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

    fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// What systemd refuses to load a unit without.
    fn complete(&self, out: &mut Vec<ContentFault>) {
        let starts = |prefix: &str, names: &[&str]| {
            self.settings.iter().any(|setting| {
                !setting.value.is_empty()
                    && (setting.name.starts_with(prefix) && Some(setting.section) == self.own
                        || names.contains(&setting.name))
            })
        };
        let missing = match self.kind {
            "service" => self.service(out),
            "timer" if !starts("On", &[]) => Some((
                "the timer never elapses: it has no `OnCalendar=`, `OnBootSec=` or other `On…=`",
                "add one, such as `OnCalendar=daily`",
            )),
            "path" if !starts("Path", &["DirectoryNotEmpty"]) => {
                Some(("the path unit watches nothing: it has no `PathExists=`, `PathChanged=` or the like", "add one"))
            }
            "socket" if !starts("Listen", &[]) => Some((
                "the socket listens nowhere: it has no `ListenStream=` or other `Listen…=`",
                "add one, such as `ListenStream=8080`",
            )),
            "mount" | "swap" if !self.has("What") => Some((
                "the unit does not say what to mount: `What=` is missing",
                "add `What=` with a device or a share",
            )),
            _ => None,
        };
        if let Some((message, help)) = missing {
            out.push(self.incomplete(message, help));
        }
    }

    fn incomplete(&self, message: &str, help: &str) -> ContentFault {
        let first = self.text.lines().next().unwrap_or_default();
        let span = self.header.unwrap_or(Span::new(0, first.len()));
        let message = format!("systemd would not load this unit: {message}");
        ContentFault::new(&rules::INCOMPLETE_UNIT, span, message, Some(help.into()))
    }

    fn service(&self, out: &mut Vec<ContentFault>) -> Option<(&'static str, &'static str)> {
        let commands = self.values("ExecStart");
        let kind = self.values("Type").last().map(|setting| setting.value.as_ref());
        let remains = self.values("RemainAfterExit").last().is_some_and(|setting| {
            ["1", "yes", "y", "true", "t", "on"].iter().any(|word| word.eq_ignore_ascii_case(&setting.value))
        });
        let after = self.has("SuccessAction");
        let oneshot = kind == Some("oneshot") || kind.is_none() && commands.is_empty() && !self.has("BusName");
        if commands.is_empty() {
            return if !self.has("ExecStop") && !after {
                Some(("a service needs `ExecStart=`", "add `ExecStart=` with the program's full path"))
            } else if !remains && !after {
                Some(("a service without `ExecStart=` needs `RemainAfterExit=yes`", "add one of the two"))
            } else if !oneshot {
                Some((
                    "only a service of `Type=oneshot` may do without `ExecStart=`",
                    "add `ExecStart=`, or make it `Type=oneshot`",
                ))
            } else {
                None
            };
        }
        if let (false, [first, .., last]) = (oneshot, commands.as_slice()) {
            let message =
                "systemd would not load this unit: only a service of `Type=oneshot` may have two `ExecStart=`";
            let help = "put what prepares into `ExecStartPre=`, or make it `Type=oneshot`";
            let mut fault =
                ContentFault::new(&rules::INCOMPLETE_UNIT, last.name_span, message.into(), Some(help.into()));
            fault.related.push((first.name_span, "the first one".into()));
            out.push(fault);
        }
        let restart = self.values("Restart").last().copied();
        if let Some(restart) =
            restart.filter(|restart| oneshot && matches!(restart.value.as_ref(), "always" | "on-success"))
        {
            let message =
                "systemd would not load this unit: a service of `Type=oneshot` cannot be started again after success";
            let help = "use `Restart=on-failure` or `no`, or another `Type=`";
            out.push(ContentFault::new(&rules::INCOMPLETE_UNIT, restart.value_span, message.into(), Some(help.into())));
        }
        if kind == Some("dbus") && !self.has("BusName") {
            return Some(("a service of `Type=dbus` needs `BusName=`", "add `BusName=`"));
        }
        None
    }
}

fn unknown_setting(name: &str, section: &str, span: Span, sections: &[&'static str]) -> ContentFault {
    let message = format!("systemd does not know the setting {} in `[{section}]`, and ignores it", quoted(name));
    let near = names::settings(section).and_then(|names| closest(name, names));
    let help = match (names::home(name, sections), near) {
        (Some(home), _) => Some(format!("move it to the section `[{home}]`")),
        (None, Some(near)) => Some(format!("did you mean `{near}`?")),
        (None, None) => Some("remove it, or begin its name with `X-` if it is for another program".into()),
    };
    ContentFault::new(&rules::UNKNOWN_UNIT_SETTING, span, message, help)
}

/// What a shell takes for itself and systemd hands to the program.
const OPERATORS: [&str; 9] = ["&&", "||", "|", ">", ">>", "<", "2>&1", "2>/dev/null", ">/dev/null"];
/// Programs whose arguments are such words.
const TAKERS: [&str; 4] = ["test", "[", "expr", "find"];

/// Checks the command of an `Exec…=` setting.
fn check_command(setting: &Setting<'_>, out: &mut Vec<ContentFault>) {
    let value = setting.value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    if value.is_empty() {
        return;
    }
    let Some(words) = split_words(value) else {
        let message = format!("a quote in {} is not closed: systemd refuses the command", quoted(setting.name));
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
            "write the whole path, from `/`"
        };
        out.push(ContentFault::new(&rules::INVALID_UNIT_COMMAND, setting.value_span, message, Some(help.into())));
        return;
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let operator = words.iter().skip(1).find(|word| !word.quoted && OPERATORS.contains(&word.text.as_str()));
    if let Some(operator) = operator.filter(|_| !TAKERS.contains(&name)) {
        let message =
            format!("{} is an argument here, not an operator: systemd starts no shell", quoted(&operator.text));
        let help =
            Some("start the command through `/bin/sh -c '…'`, or use several commands, or `StandardOutput=`".into());
        out.push(ContentFault::new(&rules::SHELL_SYNTAX_IN_UNIT, setting.value_span, message, help));
    }
}

/// The program of a command whose failure matters.
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

/// Words as systemd splits them; `None` where a quote is not closed.
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
