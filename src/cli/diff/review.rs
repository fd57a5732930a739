//! What `mkimg diff` found, and how it is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};
use serde_json::json;

use crate::cli::escape::one_line;
use crate::diff::{Change, Difference};

/// `--format` of `mkimg diff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum ReviewFormat {
    #[default]
    Human,
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// Annotations of a GitHub workflow.
    Github,
}

/// Two texts that were compared, by their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Compared {
    pub(super) old: String,
    pub(super) new: String,
    /// The file for annotations; revisions have none.
    pub(super) file: Option<String>,
}

/// Differences, each with the texts in which it was found.
#[derive(Debug, Default)]
pub(super) struct Review {
    found: Vec<(Difference, Vec<Compared>)>,
}

/// A comment on GitHub has at most 65,536 characters.
const MAX_MARKDOWN_BYTES: usize = 60_000;

const HEAD: Style = Style::new().bold();
const OLD: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();
const PLACE: Style = AnsiColor::Cyan.on_default();

impl Review {
    /// Adds what was found in two texts. What was found in others, too, stays one difference.
    pub(super) fn add(&mut self, compared: &Compared, differences: Vec<Difference>) {
        for difference in differences {
            match self.found.iter_mut().find(|(known, _)| *known == difference) {
                Some((_, places)) => places.push(compared.clone()),
                None => self.found.push((difference, vec![compared.clone()])),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many differences there are, by kind: `2 changed, 1 added`.
    pub(super) fn summary(&self) -> String {
        let kind = |change: &Change| match change {
            Change::Encoding | Change::Layout | Change::Order => "in form only",
            other => other.name(),
        };
        let counts = ["changed", "added", "removed", "renamed", "in form only"].map(|name| {
            let count = self.found.iter().filter(|(difference, _)| kind(&difference.change) == name).count();
            (count > 0).then(|| format!("{count} {name}"))
        });
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The differences by the texts in which they are, in the order in which they were found.
    fn by_place(&self) -> Vec<(&[Compared], Vec<&Difference>)> {
        let mut groups: Vec<(&[Compared], Vec<&Difference>)> = Vec::new();
        for (difference, places) in &self.found {
            match groups.iter_mut().find(|(known, _)| *known == places) {
                Some((_, differences)) => differences.push(difference),
                None => groups.push((places, vec![difference])),
            }
        }
        groups
    }

    /// A unified diff with a header for each path, in colours.
    pub(super) fn human(&self) -> String {
        let mut text = String::new();
        for (places, differences) in self.by_place() {
            for old in distinct(places, |place| &place.old) {
                let _ = writeln!(text, "{HEAD}--- {old}{HEAD:#}");
            }
            for new in distinct(places, |place| &place.new) {
                let _ = writeln!(text, "{HEAD}+++ {new}{HEAD:#}");
            }
            for difference in differences {
                let _ = writeln!(text, "{HEAD}{}: {}{HEAD:#}", difference.name, difference.change);
                for line in visible_lines(&difference.lines) {
                    let style = match line.chars().next() {
                        Some('-') => OLD,
                        Some('+') => NEW,
                        Some('@') => PLACE,
                        _ => Style::new(),
                    };
                    let _ = writeln!(text, "{style}{line}{style:#}");
                }
            }
        }
        text
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let found = self.found.iter().map(|(difference, places)| {
            let places: Vec<_> = places.iter().map(|place| json!({"old": place.old, "new": place.new})).collect();
            let mut value = json!({"name": difference.name, "change": difference.change.name()});
            if let Change::Renamed { from } = &difference.change {
                value["from"] = json!(from);
            }
            value["in"] = places.into();
            value["diff"] = json!(difference.lines);
            value
        });
        let mut summary = BTreeMap::<&str, usize>::new();
        for (difference, _) in &self.found {
            *summary.entry(difference.change.name()).or_default() += 1;
        }
        json!({"version": 1, "differences": found.collect::<Vec<_>>(), "summary": summary})
    }

    /// Markdown with each difference folded away. What exceeds the limit of a comment is left out, which the text says.
    pub(super) fn markdown(&self) -> String {
        if self.is_empty() {
            return "**`mkimg diff`: no difference**\n".to_owned();
        }
        let mut text = format!("**`mkimg diff`: {}**\n", self.summary());
        let mut omitted = 0;
        for (difference, places) in &self.found {
            let places = distinct(places, |place| &place.old).map(html).collect::<Vec<_>>().join(", ");
            let title =
                format!("<code>{}</code>: {} ({places})", html(&difference.name), html(&difference.change.to_string()));
            let lines = visible_lines(&difference.lines).fold(String::new(), |lines, line| lines + &line + "\n");
            let part = if lines.is_empty() {
                format!("\n- {title}\n")
            } else {
                let fence = "`".repeat(longest_run(&lines, '`').max(2) + 1);
                format!("\n<details><summary>{title}</summary>\n\n{fence}diff\n{lines}{fence}\n\n</details>\n")
            };
            if text.len() + part.len() > MAX_MARKDOWN_BYTES {
                omitted += 1;
            } else {
                text.push_str(&part);
            }
        }
        if omitted > 0 {
            let _ = writeln!(
                text,
                "\nToo long for a comment, and not shown: {omitted} of {}. `mkimg diff` prints them.",
                self.found.len()
            );
        }
        text
    }

    /// An annotation of a GitHub workflow for each difference, at the first fixture that has it.
    pub(super) fn github(&self) -> String {
        let annotation = |(difference, places): &(Difference, Vec<Compared>)| {
            let message = format!("{}: {}\n{}", difference.name, difference.change, difference.lines);
            let file = places.iter().find_map(|place| place.file.as_deref()).map(|file| ("file", file));
            let properties: Vec<_> = file.into_iter().chain([("title", "mkimg diff")]).collect();
            diagnostics::workflow_command("error", &properties, message.trim_end())
        };
        self.found.iter().map(annotation).collect()
    }
}

/// The names of some texts, each once.
fn distinct(places: &[Compared], name: fn(&Compared) -> &String) -> impl Iterator<Item = &str> {
    let is_first = move |at: usize| !places[..at].iter().any(|earlier| name(earlier) == name(&places[at]));
    places.iter().enumerate().filter(move |(at, _)| is_first(*at)).map(move |(_, place)| name(place).as_str())
}

/// The lines, with control characters made visible: they come from documents, and must not reach a terminal.
fn visible_lines(lines: &str) -> impl Iterator<Item = String> {
    lines.split_inclusive('\n').map(|line| line.trim_end_matches('\n').chars().map(visible).collect())
}

fn visible(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(' '),
        '\x7f' => '\u{2421}',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

fn html(text: &str) -> String {
    one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The length of the longest run of a character.
fn longest_run(text: &str, character: char) -> usize {
    text.split(|c| c != character).map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review() -> Review {
        let place = |name: &str| {
            let old = format!("fixtures/{name}/user-data.yaml");
            Compared { file: Some(old.clone()), old, new: "rendered".to_owned() }
        };
        let difference =
            |name: &str, change, lines: &str| Difference { name: name.to_owned(), change, lines: lines.to_owned() };
        let both = difference("/etc/x", Change::Changed, "@@ -1 +1 @@\n-a\n+```\u{1b}[2J\n");
        let renamed = difference("/etc/<b>", Change::Renamed { from: "/etc/a".to_owned() }, "");
        let mut review = Review::default();
        review.add(&place("one"), vec![both.clone(), renamed]);
        review.add(&place("two"), vec![both]);
        review
    }

    #[test]
    fn a_change_of_several_cases_is_shown_once() {
        let text = anstream::adapter::strip_str(&review().human()).to_string();
        assert_eq!(
            text,
            "--- fixtures/one/user-data.yaml\n--- fixtures/two/user-data.yaml\n+++ rendered\n/etc/x: changed\n@@ -1 +1 @@\n-a\n+```\u{241b}[2J\n\
             --- fixtures/one/user-data.yaml\n+++ rendered\n/etc/<b>: renamed from /etc/a\n"
        );
        assert_eq!(review().summary(), "1 changed, 1 renamed");
    }

    #[test]
    fn json_has_the_documented_shape() {
        let in_one = json!({"old": "fixtures/one/user-data.yaml", "new": "rendered"});
        let in_two = json!({"old": "fixtures/two/user-data.yaml", "new": "rendered"});
        assert_eq!(
            review().json(),
            json!({"version": 1, "differences": [
                {"name": "/etc/x", "change": "changed", "in": [in_one, in_two], "diff": "@@ -1 +1 @@\n-a\n+```\u{1b}[2J\n"},
                {"name": "/etc/<b>", "change": "renamed", "from": "/etc/a", "in": [in_one], "diff": ""}],
                "summary": {"changed": 1, "renamed": 1}})
        );
        assert_eq!(Review::default().json(), json!({"version": 1, "differences": [], "summary": {}}));
    }

    #[test]
    fn markdown_keeps_to_its_fences_and_limit() {
        let expected = "**`mkimg diff`: 1 changed, 1 renamed**\n\n\
            <details><summary><code>/etc/x</code>: changed (fixtures/one/user-data.yaml, fixtures/two/user-data.yaml)</summary>\n\n\
            ````diff\n@@ -1 +1 @@\n-a\n+```\u{241b}[2J\n````\n\n</details>\n\n\
            - <code>/etc/&lt;b&gt;</code>: renamed from /etc/a (fixtures/one/user-data.yaml)\n";
        assert_eq!(review().markdown(), expected);
        assert_eq!(Review::default().markdown(), "**`mkimg diff`: no difference**\n");
        let place = Compared { old: "a".to_owned(), new: "b".to_owned(), file: None };
        let long = Difference { name: "long".to_owned(), change: Change::Added, lines: "+x\n".repeat(30_000) };
        let mut review = review();
        review.add(&place, vec![long]);
        assert!(
            review.markdown().ends_with("\nToo long for a comment, and not shown: 1 of 3. `mkimg diff` prints them.\n")
        );
    }

    #[test]
    fn github_gets_an_annotation_for_each_difference() {
        assert_eq!(
            review().github(),
            "::error file=fixtures/one/user-data.yaml,title=mkimg diff::/etc/x: changed%0A@@ -1 +1 @@%0A-a%0A+```\\u{1b}[2J\n\
             ::error file=fixtures/one/user-data.yaml,title=mkimg diff::/etc/<b>: renamed from /etc/a\n"
        );
    }
}
