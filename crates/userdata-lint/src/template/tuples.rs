//! What Jinja reads and minijinja does not: tuples without parentheses (`{% if a, b %}`), and `%` behind a text (`'%s' % a`, which is
//! the filter `format`). A template is rewritten before minijinja sees it, and places are brought back to the template as it was written.

use diagnostics::source::Span;

/// What stands around a tuple that is printed: it is written as Python writes it (`python.rs`).
pub(super) const PRINTED: &str = "mkimg_tuple";

/// A template that minijinja reads as Jinja reads the one it came from.
pub(super) struct Prepared {
    pub text: String,
    /// What was put in: where in `text`, in ascending order, and how many bytes more there are.
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
    let mut insertions: Vec<Insertion> = Vec::new();
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
                insertions.extend(&tag.formats);
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
    // Those of one place stay as they came.
    insertions.sort_by_key(|(place, _)| *place);
    let mut text = String::with_capacity(template.len() + insertions.len() * PRINTED.len());
    let mut inserted = Vec::with_capacity(insertions.len());
    let mut done = 0;
    for (place, piece) in insertions {
        text.push_str(&template[done..place]);
        // A filter stands in the place of the operator.
        let replaced = usize::from(piece.starts_with('|'));
        done = place + replaced;
        inserted.push((text.len(), piece.len() - replaced));
        text.push_str(piece);
    }
    text.push_str(&template[done..]);
    Ok(Prepared { text, inserted })
}

/// Where something is put in. What begins with `|` takes the place of a byte.
type Insertion = (usize, &'static str);

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
    /// For each `%` behind a text.
    formats: Vec<Insertion>,
}

impl<'t> Tag<'t> {
    /// From after its opening braces on.
    fn read(template: &'t str, from: usize, closing: &str) -> Self {
        let bytes = template.as_bytes();
        let mut at = from;
        if matches!(bytes.get(at), Some(b'-' | b'+')) {
            at += 1;
        }
        let mut tag =
            Self { start: at, end: template.len(), words: vec![], commas: vec![], assignment: None, formats: vec![] };
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
                    tag.format(template, at + 1, closing);
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

    /// Makes a filter of the `%` that may stand behind a text which ends here.
    fn format(&mut self, template: &str, end: usize, closing: &str) {
        let skip = |at: usize| at + template.get(at..).map_or(0, |rest| rest.len() - rest.trim_start().len());
        let operator = skip(end);
        let rest = template.get(operator..).unwrap_or_default();
        if !rest.starts_with('%') || rest.starts_with(closing) {
            return;
        }
        let operand = skip(operator + 1);
        if template[operand..].starts_with('(') {
            self.formats.push((operator, "|format"));
        } else if let Some(end) = operand_end(template, operand) {
            self.formats.extend([(operator, "|format("), (end, ")")]);
        }
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

/// Where a name, a number or a text ends, with what belongs to it: `.key`, `['key']`, `(…)`, `|filter`.
fn operand_end(template: &str, start: usize) -> Option<usize> {
    let bytes = template.as_bytes();
    let word = |at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let text = |at: usize| {
        let quote = *bytes.get(at)?;
        let mut end = at + 1;
        while *bytes.get(end)? != quote {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        Some(end + 1)
    };
    let mut at = match bytes.get(start)? {
        b'\'' | b'"' => text(start)?,
        _ if word(start) > 0 => start + word(start),
        _ => return None,
    };
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'.' | b'|' if word(at + 1) > 0 => at + 1 + word(at + 1),
            b'[' | b'(' => {
                let mut depth = 0_usize;
                loop {
                    match bytes.get(at)? {
                        b'\'' | b'"' => at = text(at)? - 1,
                        b'[' | b'(' => depth += 1,
                        b']' | b')' => depth -= 1,
                        _ => {}
                    }
                    at += 1;
                    if depth == 0 {
                        break at;
                    }
                }
            }
            _ => break,
        };
    }
    Some(at)
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
            ("{{ '%s' % a }}", "{{ '%s' |format( a) }}"),
            ("{{ '%s-%s' % (a, b) }}", "{{ '%s-%s' |format (a, b) }}"),
            ("{{ '%d'%v1.x['a)'].f(1)|int ~ 'c' }}", "{{ '%d'|format(v1.x['a)'].f(1)|int) ~ 'c' }}"),
            ("{% set a = 'x' %}{{ 'a' if b }}%", "{% set a = 'x' %}{{ 'a' if b }}%"),
            ("{% if '%s' % 'a' == 'a', 1 %}", "{% if ( '%s' |format( 'a') == 'a', 1 ) %}"),
            ("{{ 'a' % [1] }}{{ 'a' % b[ }}", "{{ 'a' % [1] }}{{ 'a' % b[ }}"),
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
