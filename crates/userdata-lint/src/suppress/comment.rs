//! Parses comments `# mkimg: allow CODE[, CODE…] reason` and finds the lines that they apply to.
//!
//! This works by lines and indentation, so comments work in YAML, in scripts inside a block, in
//! parts of multi-part documents, and in text that is not YAML.

use diagnostics::source::Span;

/// How many comments of one document are read.
pub(super) const MAX_COMMENTS: usize = 1_000;

/// Verbs that people use instead of `allow`.
const OTHER_WORDS: &[&str] =
    &["disable", "disable-file", "ignore", "ignore-file", "expect", "suppress", "skip", "noqa", "nolint"];

/// A suppression comment, valid or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    /// From `mkimg:` to the end of the line.
    pub span: Span,
    /// Codes or names of rules with their places; empty if the comment is malformed.
    pub rules: Vec<(String, Span)>,
    /// The reason; may be empty.
    pub reason: String,
    /// The text that it applies to; `None` for the whole document.
    pub range: Option<Span>,
}

/// The words of a comment.
struct Words {
    rules: Vec<(String, Span)>,
    reason: String,
    whole_file: bool,
}

/// All comments of a text, and whether there are more than the maximum.
pub(super) fn comments(text: &str) -> (Vec<Comment>, bool) {
    let mut scan = Scan::default();
    if !text.contains("mkimg:") {
        return (scan.found, false);
    }
    let mut start = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        scan.line(start, line);
        start += line.len();
        if scan.found.len() > MAX_COMMENTS {
            scan.found.pop();
            scan.close_all(start);
            return (scan.found, true);
        }
    }
    scan.close_all(text.len());
    (scan.found, false)
}

/// A comment on its own line whose key or item has begun.
struct Open {
    comment: usize,
    indentation: usize,
    is_item: bool,
}

#[derive(Default)]
struct Scan {
    found: Vec<Comment>,
    /// Comments on their own line, before the key or item that they apply to.
    waiting: Vec<usize>,
    /// Sorted by indentation.
    open: Vec<Open>,
}

impl Scan {
    fn line(&mut self, start: usize, line: &str) {
        let bare = line.trim_start_matches([' ', '\t']);
        let indentation = line.len() - bare.len();
        let bare = bare.trim_end();
        if bare.is_empty() {
            return;
        }
        let own_line = bare.starts_with('#');
        if !own_line {
            self.begin(start, indentation, bare == "-" || bare.starts_with("- "));
        }
        let Some((at, words)) = read(start, line.trim_end()) else { return };
        let span = Span::new(at, start + line.trim_end().len());
        let range = match (words.whole_file, own_line) {
            (true, _) => None,
            (false, false) => Some(Span::new(start, start + line.len())),
            // Empty until the key or item begins.
            (false, true) => Some(Span::at(start + line.len())),
        };
        if own_line && !words.whole_file {
            self.waiting.push(self.found.len());
        }
        self.found.push(Comment { span, rules: words.rules, reason: words.reason, range });
    }

    /// Ends open ranges and begins waiting ones at a line that is not a comment.
    fn begin(&mut self, start: usize, indentation: usize, is_item: bool) {
        while let Some(last) = self.open.last() {
            // A list may have the indentation of its key.
            let within =
                indentation > last.indentation || (indentation == last.indentation && is_item && !last.is_item);
            if within {
                break;
            }
            self.close(start);
        }
        for comment in std::mem::take(&mut self.waiting) {
            self.found[comment].range = Some(Span::at(start));
            self.open.push(Open { comment, indentation, is_item });
        }
    }

    fn close(&mut self, end: usize) {
        if let Some(Open { comment, .. }) = self.open.pop()
            && let Some(range) = &mut self.found[comment].range
        {
            range.end = end;
        }
    }

    fn close_all(&mut self, end: usize) {
        while !self.open.is_empty() {
            self.close(end);
        }
    }
}

/// The first comment for mkimg in a line that starts at `start`, and its place.
fn read(start: usize, line: &str) -> Option<(usize, Words)> {
    let mut from = 0;
    loop {
        let at = from + line[from..].find("mkimg:")?;
        from = at + "mkimg:".len();
        let before = line[..at].trim_end_matches([' ', '\t']);
        let outside = before.trim_end_matches('#');
        let is_comment = outside.len() < before.len() && (outside.is_empty() || outside.ends_with([' ', '\t']));
        if is_comment && let Some(words) = words(start + from, &line[from..]) {
            return Some((start + at, words));
        }
    }
}

/// Parses what follows `mkimg:`; `None` if it is not a suppression.
fn words(start: usize, text: &str) -> Option<Words> {
    let mut rest = text.trim_start();
    let verb = rest.split(|character: char| character.is_whitespace() || character == ',').next().unwrap_or_default();
    rest = &rest[verb.len()..];
    let malformed = Words { rules: Vec::new(), reason: String::new(), whole_file: false };
    let verb = verb.trim_end_matches(':').to_ascii_lowercase();
    let whole_file = match verb.as_str() {
        "allow" => false,
        "allow-file" => true,
        other => {
            let alike = ["allow", "allow-file"].iter().any(|verb| strsim::osa_distance(other, verb) <= 2);
            return (alike || OTHER_WORDS.contains(&other)).then_some(malformed);
        }
    };
    let mut rules = Vec::new();
    // The first word is a rule. Others follow after a comma, or have the form of a code.
    let mut more = true;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            more = true;
            rest = after;
            continue;
        }
        let word =
            rest.split(|character: char| character.is_whitespace() || character == ',').next().unwrap_or_default();
        let word = word.trim_end_matches(':');
        let is_code = word.len() == 5
            && word.get(..2).is_some_and(|letters| letters.eq_ignore_ascii_case("MK"))
            && word.bytes().skip(2).all(|byte| byte.is_ascii_digit());
        if word.is_empty() || !(more || is_code) {
            break;
        }
        let at = start + (text.len() - rest.len());
        rules.push((word.to_owned(), Span::new(at, at + word.len())));
        rest = rest[word.len()..].trim_start_matches(':');
        more = false;
    }
    let reason = rest.trim().trim_start_matches(['-', '–', '—', ':']).trim();
    Some(Words { rules, reason: reason.to_owned(), whole_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules, reason and lines of each comment.
    fn read(text: &str) -> Vec<(Vec<String>, String, Option<String>)> {
        let shown = |comment: Comment| {
            let rules: Vec<_> = comment.rules.iter().map(|(rule, _)| rule.clone()).collect();
            for (rule, span) in &comment.rules {
                assert_eq!(&text[span.start..span.end], rule);
            }
            (rules, comment.reason, comment.range.map(|range| text[range.start..range.end].to_owned()))
        };
        comments(text).0.into_iter().map(shown).collect()
    }

    fn one(text: &str) -> (Vec<String>, String, Option<String>) {
        let mut all = read(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    #[test]
    fn codes_names_and_reasons_are_parsed() {
        for (comment, rules, reason) in [
            ("allow MK201 because", &["MK201"][..], "because"),
            ("allow duplicate-key because it is", &["duplicate-key"], "because it is"),
            ("allow MK201, MK205 because", &["MK201", "MK205"], "because"),
            ("allow MK201,duplicate-key , mk206 because", &["MK201", "duplicate-key", "mk206"], "because"),
            ("allow MK201 MK202 -- because", &["MK201", "MK202"], "because"),
            ("allow MK201: because", &["MK201"], "because"),
            ("allow MK201 — because, you know", &["MK201"], "because, you know"),
            ("allow MK201", &["MK201"], ""),
            ("allow", &[], ""),
            ("ignore MK201 x", &[], ""),
            ("alow MK201 x", &[], ""),
        ] {
            let (found, why, _) = one(&format!("a: b # mkimg: {comment}\n"));
            assert_eq!(
                (found.as_slice(), why.as_str()),
                (rules.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>().as_slice(), reason)
            );
        }
    }

    #[test]
    fn other_comments_are_ignored() {
        for text in [
            "# mkimg: this document was made by it\n",
            "see mkimg: allow MK201 x\n",
            "a: \"# mkimg: allow MK201 x\"\n",
            "a#mkimg: allow MK201 x\n",
            "# mkimg is nice\n",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
        assert_eq!(one("echo mkimg: x # mkimg: allow MK201 y\n").1, "y");
    }

    #[test]
    fn comments_apply_to_their_line_or_the_item_below() {
        let (.., range) = one("a: 1\nb: 2 # mkimg: allow MK201 x\nc: 3\n");
        assert_eq!(range.as_deref(), Some("b: 2 # mkimg: allow MK201 x\n"));
        let (.., range) = one("a: 1\n# mkimg: allow MK201 x\n\n# more\nb:\n\n  c: 3\n  # d\nd: 4\n");
        assert_eq!(range.as_deref(), Some("b:\n\n  c: 3\n  # d\n"));
        let (.., range) = one("# mkimg: allow MK201 x\nb:\n- c\n- d\ne:\n- f\n");
        assert_eq!(range.as_deref(), Some("b:\n- c\n- d\n"));
        let (.., range) = one("b:\n# mkimg: allow MK201 x\n- c: 1\n  d: 1\n- e\n");
        assert_eq!(range.as_deref(), Some("- c: 1\n  d: 1\n"));
        let (.., range) = one("a:\r\n  # mkimg: allow MK201 x\r\n  b: 1\r\n  c: 1\r\n");
        assert_eq!(range.as_deref(), Some("  b: 1\r\n"));
        let (.., range) = one("a: 1\n# mkimg: allow MK201 x\n");
        assert_eq!(range.as_deref(), Some(""));
        assert_eq!(one("#cloud-config\n# mkimg: allow-file MK201 x\n").2, None);
    }

    #[test]
    fn comments_stack_and_nest() {
        let all = read(
            "# mkimg: allow MK201 x\n# mkimg: allow MK202 y\na:\n  # mkimg: allow MK203 z\n  b: 1\n  c: 2\nd: 1\n",
        );
        let ranges: Vec<_> = all.into_iter().map(|(.., range)| range.unwrap_or_default()).collect();
        let whole = "a:\n  # mkimg: allow MK203 z\n  b: 1\n  c: 2\n";
        assert_eq!(ranges, [whole, whole, "  b: 1\n"]);
    }

    #[test]
    fn the_number_of_comments_is_limited() {
        let (found, more) = comments(&"# mkimg: allow MK201 x\n".repeat(MAX_COMMENTS + 5));
        assert_eq!((found.len(), more), (MAX_COMMENTS, true));
    }
}
