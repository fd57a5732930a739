//! Tuples without parentheses (`{% if a, b %}`), which Jinja reads and minijinja does not: a template is given parentheses before
//! minijinja sees it, and places are brought back to the template as it was written.

use crate::source::Span;

/// What stands around a tuple that is printed: it is written as Python writes it (`python.rs`).
pub(super) const PRINTED: &str = "mkimg_tuple";

/// A template that minijinja reads as Jinja reads the one it came from.
pub(super) struct Prepared {
    pub text: String,
    /// What was put in: where in `text`, in ascending order, and how many bytes.
    inserted: Vec<(usize, usize)>,
}

impl Prepared {
    /// A place in the text as a place in the template.
    pub(super) fn original(&self, at: usize) -> usize {
        let before = self.inserted.iter().take_while(|(place, _)| *place < at);
        let mut out = at;
        for (place, length) in before {
            out -= (*length).min(at - place);
        }
        out
    }
}

/// Adds the parentheses. The error is the place of a name that Jinja does not take for one: `{% for in x %}`.
pub(super) fn prepare(template: &str) -> Result<Prepared, Span> {
    let mut insertions: Vec<(usize, &'static str)> = Vec::new();
    let mut at = 0;
    while let Some(found) = template[at..].find('{') {
        let start = at + found;
        let Some(opening) = template.get(start..start + 2) else {
            at = start + 1;
            continue;
        };
        at = start + 2;
        match opening {
            "{#" => at = template[at..].find("#}").map_or(template.len(), |end| at + end + 2),
            "{{" | "{%" => {
                let tag = Tag::read(template, at, if opening == "{{" { "}}" } else { "%}" });
                at = tag.end;
                if opening == "{{" {
                    if !tag.commas.is_empty() {
                        insertions.extend([(tag.start, " mkimg_tuple("), (tag.end, ")")]);
                    }
                } else if tag.is("raw") {
                    at = end_of_raw(template, at);
                } else {
                    tag.statement(template, &mut insertions)?;
                }
            }
            _ => at = start + 1,
        }
    }
    let mut text = String::with_capacity(template.len() + insertions.len() * PRINTED.len());
    let mut inserted = Vec::with_capacity(insertions.len());
    let mut done = 0;
    for (place, piece) in insertions {
        text.push_str(&template[done..place]);
        done = place;
        inserted.push((text.len(), piece.len()));
        text.push_str(piece);
    }
    text.push_str(&template[done..]);
    Ok(Prepared { text, inserted })
}

fn end_of_raw(template: &str, mut at: usize) -> usize {
    while let Some(found) = template[at..].find("{%") {
        at += found + 2;
        let rest = template[at..].trim_start_matches(['-', '+']).trim_start();
        if rest.starts_with("endraw") {
            return at;
        }
    }
    template.len()
}

/// What is between the braces of one tag: where it is, its words and commas that stand in no bracket.
struct Tag<'t> {
    start: usize,
    end: usize,
    words: Vec<(usize, &'t str)>,
    commas: Vec<usize>,
    /// The first single `=`.
    assignment: Option<usize>,
}

impl<'t> Tag<'t> {
    /// From after its opening braces on.
    fn read(template: &'t str, from: usize, closing: &str) -> Self {
        let bytes = template.as_bytes();
        let mut at = from;
        if matches!(bytes.get(at), Some(b'-' | b'+')) {
            at += 1;
        }
        let mut tag = Self { start: at, end: template.len(), words: vec![], commas: vec![], assignment: None };
        let mut depth = 0_usize;
        while let Some(&byte) = bytes.get(at) {
            let here = &bytes[at..];
            let end = closing.as_bytes();
            let is_end = here.starts_with(end) || (matches!(byte, b'-' | b'+') && here[1..].starts_with(end));
            if depth == 0 && is_end {
                tag.end = at;
                break;
            }
            match byte {
                b'\'' | b'"' => {
                    at += 1;
                    while bytes.get(at).is_some_and(|next| *next != byte) {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => tag.commas.push(at),
                b'=' if depth == 0 => {
                    let is_comparison =
                        here.get(1) == Some(&b'=') || matches!(bytes[at - 1], b'=' | b'!' | b'<' | b'>');
                    if !is_comparison && tag.assignment.is_none() {
                        tag.assignment = Some(at);
                    }
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' | 0x80.. => {
                    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80;
                    let length = here.iter().take_while(is_part).count();
                    if depth == 0 {
                        tag.words.push((at, &template[at..at + length]));
                    }
                    at += length - 1;
                }
                _ => {}
            }
            at += 1;
        }
        tag.end = tag.end.max(tag.start);
        tag
    }

    fn is(&self, name: &str) -> bool {
        self.words.first().is_some_and(|(_, word)| *word == name)
    }

    /// Parentheses for the expression of a statement, where it is a tuple.
    fn statement(&self, template: &str, insertions: &mut Vec<(usize, &'static str)>) -> Result<(), Span> {
        let Some((at, name)) = self.words.first() else { return Ok(()) };
        let word = |wanted: &[&str], after: usize| {
            self.words.iter().find(|(at, word)| *at > after && wanted.contains(word)).copied()
        };
        let (from, to) = match *name {
            "if" | "elif" => (at + name.len(), self.end),
            "for" => {
                let Some((place, _)) = word(&["in"], *at) else { return Ok(()) };
                if template[at + name.len()..place].trim().is_empty() {
                    return Err(Span::new(place, place + 2));
                }
                (place + 2, word(&["if", "recursive"], place).map_or(self.end, |(at, _)| at))
            }
            "set" => {
                let Some(place) = self.assignment else { return Ok(()) };
                (place + 1, self.end)
            }
            _ => return Ok(()),
        };
        if self.commas.iter().any(|comma| (from..to).contains(comma)) {
            insertions.extend([(from, " ("), (to, ") ")]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_get_their_parentheses() {
        for (template, expected) in [
            ("{% if a, b %}x{% endif %}", "{% if ( a, b ) %}x{% endif %}"),
            ("{%- elif a,-%}", "{%- elif ( a,) -%}"),
            ("{% for a, b in [1, 2] %}", "{% for a, b in [1, 2] %}"),
            ("{% for a in 1, 2 if a, b %}", "{% for a in ( 1, 2 ) if a, b %}"),
            ("{% set a, b = 1, f(2, 3) %}", "{% set a, b = ( 1, f(2, 3) ) %}"),
            ("{% set a = 1 == 2 %}", "{% set a = 1 == 2 %}"),
            ("{{ 1, '}}, ' }}", "{{ mkimg_tuple( 1, '}}, ' )}}"),
            ("{# , #}{{ {'a': 1, 'b': 2} }}", "{# , #}{{ {'a': 1, 'b': 2} }}"),
            ("{% raw %}{{ a, b }}{% endraw %}{{ a", "{% raw %}{{ a, b }}{% endraw %}{{ a"),
            ("{% with a = 1, b = 2 %}{{", "{% with a = 1, b = 2 %}{{"),
            ("{ {é, {%", "{ {é, {%"),
        ] {
            let prepared = prepare(template).unwrap_or(Prepared { text: String::new(), inserted: vec![] });
            assert_eq!(prepared.text, expected);
            assert_eq!(prepared.original(prepared.text.len()), template.len(), "{template}");
        }
        assert_eq!(prepare("{% for in a %}").err(), Some(Span::new(7, 9)));
    }

    #[test]
    fn places_are_those_of_the_template() {
        let prepared = prepare("{% if a, b %}{{ c }}").unwrap_or(Prepared { text: String::new(), inserted: vec![] });
        let at = prepared.text.find('c').unwrap_or_default();
        assert_eq!(prepared.original(at), 16);
        assert_eq!(prepared.original(0), 0);
    }
}
