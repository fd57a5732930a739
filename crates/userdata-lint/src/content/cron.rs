//! Checks crontabs as Debian's cron reads them, and the directories of cron scripts.

use super::file::{Content, ContentFault};
use crate::rules;
use diagnostics::quoted;
use diagnostics::source::Span;

const FOLDERS: [&str; 4] = ["/etc/cron.hourly/", "/etc/cron.daily/", "/etc/cron.weekly/", "/etc/cron.monthly/"];
const NICKNAMES: [&str; 8] = ["reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One of the five time fields.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "day of the week", least: 0, most: 7, names: &DAYS },
];

pub(super) fn check(content: &Content<'_>, out: &mut Vec<ContentFault>) {
    if !content.path.contains("/cron") {
        return;
    }
    if let Some(name) = FOLDERS.iter().find_map(|folder| content.path.strip_prefix(folder)) {
        check_script(name, content, out);
        return;
    }
    let below = content.path.strip_prefix("/etc/cron.d/");
    let has_user = below.is_some() || content.path == "/etc/crontab";
    if !has_user && !content.path.starts_with("/var/spool/cron/crontabs/") {
        return;
    }
    if let Some(name) = below.filter(|name| !is_accepted_name(name)) {
        report_ignored(name, "cron", content.text, out);
    }
    let mut is_continued = false;
    for (start, line) in crate::places::lines(content.text) {
        let bare = line.trim();
        let continues = bare.ends_with('\\') && !bare.starts_with('#');
        if continues && !is_continued {
            let at = start + line.trim_end().len() - 1;
            let message = "cron does not join lines: the command ends here".to_owned();
            let help = Some("write the entry on one line, or call a script".into());
            out.push(ContentFault::new(&rules::MALFORMED_CRON_ENTRY, Span::new(at, at + 1), message, help));
        } else if !is_continued {
            check_entry(start, line, has_user, out);
        }
        is_continued = continues;
    }
    if !content.text.is_empty() && !content.text.ends_with('\n') && !content.appends {
        let last = content.text.rfind('\n').map_or(0, |end| end + 1);
        let message =
            "the last line does not end with a newline: on Debian and Ubuntu, cron ignores the whole file".to_string();
        let help = Some("add the final newline; in YAML, `|` keeps it and `|-` removes it".into());
        out.push(ContentFault::new(
            &rules::CRON_WITHOUT_FINAL_NEWLINE,
            Span::new(last, content.text.len()),
            message,
            help,
        ));
    }
}

/// Whether cron and run-parts accept the file name.
fn is_accepted_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn report_ignored(name: &str, who: &str, text: &str, out: &mut Vec<ContentFault>) {
    let first = text.lines().next().unwrap_or_default();
    let message = format!("{who} ignores a file named {}", quoted(name));
    let better: String = name.chars().map(|c| if c == '.' || c.is_whitespace() { '-' } else { c }).collect();
    let help = Some(format!("use letters, digits, `-` and `_` only: {}", quoted(better.trim_end_matches("-sh"))));
    out.push(ContentFault::new(&rules::IGNORED_CRON_FILE, Span::new(0, first.len()), message, help));
}

/// Checks a script in `/etc/cron.daily` or a similar directory.
fn check_script(name: &str, content: &Content<'_>, out: &mut Vec<ContentFault>) {
    if name.contains('/') || name == ".placeholder" {
        return;
    }
    if !is_accepted_name(name) {
        report_ignored(name, "the `run-parts` of Debian and Ubuntu", content.text, out);
    } else if content.mode & 0o111 == 0 {
        let first = content.text.lines().next().unwrap_or_default();
        let message = "run-parts ignores a file that is not executable".to_string();
        let help = Some("add `permissions: '0755'`".into());
        out.push(ContentFault::new(&rules::IGNORED_CRON_FILE, Span::new(0, first.len()), message, help));
    }
}

/// `NAME = value`
fn is_variable(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let name = name.trim();
    let name = name.strip_prefix(['"', '\'']).and_then(|name| name.strip_suffix(['"', '\''])).unwrap_or(name);
    !name.is_empty() && !name.contains(char::is_whitespace)
}

fn check_entry(start: usize, line: &str, has_user: bool, out: &mut Vec<ContentFault>) {
    let bare = line.trim_start_matches([' ', '\t']);
    if bare.is_empty() || bare.starts_with('#') || is_variable(bare) {
        return;
    }
    let first = start + (line.len() - bare.len());
    let entry = Span::new(first, first + bare.trim_end().len());
    // The time fields and the user; the rest is the command.
    let mut words: Vec<(Span, &str)> = Vec::new();
    let mut rest = bare;
    let wanted = if bare.starts_with('@') { 1 } else { FIELDS.len() } + usize::from(has_user);
    while words.len() < wanted {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let length = trimmed.find([' ', '\t']).unwrap_or(trimmed.len());
        if length == 0 {
            break;
        }
        let at = first + (bare.len() - trimmed.len());
        words.push((Span::new(at, at + length), &trimmed[..length]));
        rest = &trimmed[length..];
    }
    let help = || {
        let user = if has_user { " user" } else { "" };
        Some(format!("write `minute hour day month weekday{user} command`; `*` matches every value"))
    };
    let mut malformed =
        |span: Span, message: String| out.push(ContentFault::new(&rules::MALFORMED_CRON_ENTRY, span, message, help()));
    let times = if let Some(nickname) = bare.strip_prefix('@') {
        let name = nickname.split([' ', '\t']).next().unwrap_or_default();
        // `@every_minute` and similar times belong to other crons.
        if !NICKNAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) && !name.starts_with("every") {
            let message = format!("cron does not know the time {}", quoted(&format!("@{name}")));
            malformed(words.first().map_or(entry, |(span, _)| *span), message);
            return;
        }
        1
    } else {
        for (field, (span, text)) in FIELDS.iter().zip(&words) {
            if text.starts_with('/') {
                malformed(entry, "expected five time fields before the command, found fewer".into());
                return;
            }
            if let Some(problem) = field.problem(text) {
                malformed(*span, format!("expected a {}, found {}: {problem}", field.name, quoted(text)));
                return;
            }
        }
        FIELDS.len()
    };
    let command = rest.trim();
    if words.len() < times {
        malformed(entry, format!("expected five time fields and a command, found {} fields", words.len()));
        return;
    }
    if let Some((span, user)) = words.get(times).filter(|_| has_user) {
        let no_user = |c: char| matches!(c, '/' | '=' | '"' | '\'' | '&' | ';' | '|' | '<' | '>' | '(');
        if user.contains(no_user) {
            malformed(*span, format!("expected the user that runs the command, found {}", quoted(user)));
            return;
        }
    }
    if words.len() < wanted || command.is_empty() {
        let what = if has_user { "a user and a command" } else { "a command" };
        malformed(entry, format!("expected {what} after the time, found the end of the line"));
        return;
    }
    check_percent(first + (bare.len() - rest.len()), rest, out);
}

/// Reports an unescaped `%` in `date +%F`, which ends the command.
fn check_percent(start: usize, command: &str, out: &mut Vec<ContentFault>) {
    let Some(at) = command.find("date ") else { return };
    let rest = &command[at..];
    let sign = rest.match_indices('%').find(|(place, _)| {
        let before = &rest.as_bytes()[..*place];
        before.last() != Some(&b'\\') && rest.as_bytes().get(place + 1).is_some_and(u8::is_ascii_alphabetic)
    });
    // Only after `+`, as in formats.
    if let Some((place, _)) = sign.filter(|(place, _)| rest[..*place].contains('+')) {
        let span = Span::new(start + at + place, start + at + place + 1);
        let message = "cron ends the command at an unescaped `%` and passes the rest to its standard input".to_string();
        out.push(ContentFault::new(&rules::UNESCAPED_PERCENT_IN_CRON, span, message, Some("write `\\%`".into())));
    }
}

impl Field {
    /// The problem of a field's value.
    fn problem(&self, text: &str) -> Option<String> {
        // Random times belong to other crons.
        if text.contains('~') {
            return None;
        }
        text.split(',').find_map(|item| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            if let Some(step) = step {
                match step.parse::<u32>() {
                    Ok(0) => return Some("a step cannot be 0".into()),
                    Ok(_) => {}
                    Err(_) => return Some(format!("{} is not a step", quoted(step))),
                }
            }
            if range == "*" {
                return None;
            }
            let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
            let low = match self.number(low) {
                Ok(low) => low,
                Err(problem) => return Some(problem),
            };
            match high.map(|high| self.number(high)) {
                Some(Err(problem)) => Some(problem),
                Some(Ok(high)) if low > high => Some("the range is reversed".into()),
                None | Some(Ok(_)) => None,
            }
        })
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            // Months begin at 1, days at 0.
            return Ok(self.least + u32::try_from(index).unwrap_or_default());
        }
        match text.parse::<u32>() {
            Ok(number) if (self.least..=self.most).contains(&number) => Ok(number),
            Ok(_) => Err(format!("the range is {} to {}", self.least, self.most)),
            Err(_) => Err(format!("{} is not a number", quoted(text))),
        }
    }
}
