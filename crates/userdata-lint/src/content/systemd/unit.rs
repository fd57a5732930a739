//! A unit file: its sections and settings, what it names, and the words of its commands.

use std::borrow::Cow;

use super::names;
use crate::content::file::{self, ContentFault};
use crate::rules;
use diagnostics::source::Span;
use diagnostics::{closest, did_you_mean, quoted};

/// The directories of units.
const FOLDERS: [&str; 2] = ["/systemd/system/", "/systemd/user/"];
const ROOTS: [&str; 5] = ["/etc", "/usr/lib", "/lib", "/run", "/usr/local/lib"];

pub(super) struct Unit<'t> {
    /// The suffix of the name, such as `service`.
    pub(super) kind: &'static str,
    /// The section of this kind of unit, such as `Service`.
    pub(super) own: Option<&'static str>,
    pub(super) text: &'t str,
    /// The span of the last header of this section.
    pub(super) header: Option<Span>,
    pub(super) settings: Vec<Setting<'t>>,
}

/// A setting, with continuation lines joined.
pub(super) struct Setting<'t> {
    pub(super) section: &'t str,
    pub(super) name: &'t str,
    pub(super) name_span: Span,
    pub(super) value: Cow<'t, str>,
    /// On the first line.
    pub(super) value_span: Span,
}

/// The kind and section of a unit by its path, and whether the file is a drop-in.
pub(super) fn unit_of_path(path: &str) -> Option<(&'static str, Option<&'static str>, bool)> {
    let root = ROOTS.iter().find(|root| path.strip_prefix(*root).is_some_and(|rest| rest.starts_with("/systemd/")))?;
    let below = FOLDERS.iter().find_map(|folder| path[root.len()..].strip_prefix(folder))?;
    let (name, is_drop_in) = match below.split_once('/') {
        None => (below, false),
        Some((folder, file)) if file::has_ending(file, "conf") && !file.contains('/') => {
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
    pub(super) fn read(&mut self, out: &mut Vec<ContentFault>) {
        let sections = self.sections();
        let mut section: Option<&str> = None;
        let mut known = true;
        let mut lines = crate::places::lines(self.text).peekable();
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

    /// The effective values of a setting: an empty value resets the previous ones.
    pub(super) fn effective_values(&self, name: &str) -> Vec<&Setting<'t>> {
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

    /// The units that a setting names, with their places.
    pub(super) fn names<'u>(&'u self, setting: &'u Setting<'_>) -> impl Iterator<Item = (&'u str, Span)> {
        let shown = self.text.get(setting.value_span.start..setting.value_span.end).unwrap_or_default();
        setting.value.split_whitespace().map(move |name| {
            let span = shown.find(name).map(|at| setting.value_span.start + at);
            (name, span.map_or(setting.value_span, |start| Span::new(start, start + name.len())))
        })
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        !self.effective_values(name).is_empty()
    }
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

pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// Splits words like systemd; `None` if a quote is not closed.
pub(super) fn split_words(value: &str) -> Option<Vec<Word>> {
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
