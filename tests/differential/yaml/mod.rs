//! How we read YAML, compared with PyYAML text by text: the same refusals at the same place, and the same values with the
//! same types.
//!
//! `MKIMG_YAML_TEXTS` sets how many texts are generated (3,000 by default) and `MKIMG_YAML_SEED` from which seed. A text that
//! was once read differently goes to `corpus.rs`.

mod corpus;
mod generate;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use diagnostics::source::Source;
use generate::Random;
use serde_json::{Value, json};
use yaml11::{Key, Node, NodeKind, Scalar, emit};

use crate::harness::tests;
use crate::packages;

/// The answer of PyYAML for each text; `None` where PyYAML cannot be had.
fn pyyaml(texts: &[String]) -> Option<Vec<Value>> {
    let modules = packages::pyyaml(std::env::var_os("MKIMG_YAML_TEXTS").is_some())?;
    let mut input = tempfile::NamedTempFile::new().unwrap();
    for text in texts {
        writeln!(input, "{}", Value::from(text.as_str())).unwrap();
    }
    input.flush().unwrap();
    let output =
        packages::python(&modules).arg(tests("differential/yaml/pyyaml.py")).arg(input.path()).output().unwrap();
    assert!(output.status.success(), "the helper failed: {}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), texts.len());
    Some(answers)
}

/// A value as the helper writes it.
fn plain(node: Node<'_>) -> Value {
    match node.kind() {
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => json!(["bool", value]),
            Scalar::Int(digits) => json!(["int", digits]),
            Scalar::Float(value) if value.is_nan() => json!(["float", "nan"]),
            Scalar::Float(value) => json!(["float", format!("{:016x}", value.to_bits())]),
            Scalar::Str(text) => json!(["str", text]),
            Scalar::Timestamp(_) => match scalar.key() {
                Key::Timestamp(moment) => json!(["timestamp", moment]),
                other => panic!("a timestamp has the key {other:?}"),
            },
            Scalar::Binary(bytes) => json!([
                "bytes",
                bytes.iter().fold(String::new(), |mut text, byte| {
                    write!(text, "{byte:02x}").unwrap();
                    text
                })
            ]),
        },
        NodeKind::Sequence(_) => json!(["list", node.items().unwrap().map(plain).collect::<Vec<_>>()]),
        NodeKind::Mapping(_) => {
            // As a dict: the first key's place, the last value.
            let mut places = HashMap::new();
            let mut pairs: Vec<[Value; 2]> = Vec::new();
            for (key, value) in node.entries().unwrap() {
                let place = *places.entry(key.scalar().unwrap().key()).or_insert_with(|| {
                    pairs.push([plain(key), Value::Null]);
                    pairs.len() - 1
                });
                pairs[place][1] = plain(value);
            }
            json!(["dict", pairs])
        }
        NodeKind::Set(_) => {
            let mut seen = HashMap::new();
            for item in node.members().unwrap() {
                seen.entry(item.scalar().unwrap().key()).or_insert_with(|| plain(item));
            }
            let mut items: Vec<Value> = seen.into_values().collect();
            items.sort_by_key(python_json);
            json!(["set", items])
        }
        NodeKind::Pairs(_) => {
            let tuple = |(key, value)| json!(["tuple", [plain(key), plain(value)]]);
            json!(["list", node.pairs().unwrap().map(tuple).collect::<Vec<_>>()])
        }
    }
}

/// JSON with the escapes and spaces of Python's `json.dumps`, since the helper sorts by that text.
fn python_json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(python_json).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            let json = Value::from(text.as_str()).to_string();
            json.chars().fold(String::new(), |mut out, ch| {
                if ch.is_ascii() {
                    out.push(ch);
                } else {
                    ch.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(out, "\\u{unit:04x}").unwrap());
                }
                out
            })
        }
        other => other.to_string(),
    }
}

/// Characters before a byte offset, and line breaks as PyYAML counts them.
fn index_and_line(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let mut line = 0;
    let mut chars = before.chars().peekable();
    while let Some(ch) = chars.next() {
        let next = chars.peek().copied().or_else(|| text[offset..].chars().next());
        if matches!(ch, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}') || (ch == '\r' && next != Some('\n')) {
            line += 1;
        }
    }
    (before.chars().count(), line)
}

/// The difference between the two readings of a text; `None` if they agree.
fn difference(text: &str, theirs: &Value) -> Option<String> {
    let source = Source::new("text", text);
    let ours = yaml11::parse(source.text());
    if theirs.get("too_large").is_some() {
        return None;
    }
    match (ours, theirs.get("value")) {
        (Ok(tree), Some(value)) => {
            let found = tree.root().map_or(Value::Null, plain);
            (found != *value).then(|| format!("ours:   {found}\ntheirs: {value}"))
        }
        (Ok(tree), None) => Some(format!("ours:   {:?}\ntheirs: {}", tree.root().map(plain), theirs["error"])),
        // A later duplicate key hides an unusable value from Python. Our tree keeps duplicates, so it reports the value.
        (Err(error), Some(_))
            if ["inside the value itself", "surrogate pair"].iter().any(|why| error.message.contains(why)) =>
        {
            None
        }
        (Err(error), Some(value)) => Some(format!("ours:   {error} at {:?}\ntheirs: {value}", error.reported_span())),
        (Err(error), None) => {
            let place = index_and_line(text, error.reported_span().start);
            let problem = index_and_line(text, error.span.start);
            let agree = if let Some(position) = theirs.get("position") {
                json!(place.0) == *position
            } else {
                // We report the place of an alias, PyYAML that of the node it refers to.
                let alias = source.slice(error.span).starts_with('*');
                theirs.get("place").is_none_or(|their| json!([place.0, place.1]) == *their)
                    && (alias || theirs.get("problem").is_none_or(|their| json!([problem.0, problem.1]) == *their))
            };
            let line = source.position(error.reported_span().start).line;
            let same_line = theirs.get("place").is_none_or(|their| their[1] == json!(line - 1));
            (!agree || !same_line)
                .then(|| format!("ours:   {error} at {place:?}, problem {problem:?}, line {line}\ntheirs: {theirs}"))
        }
    }
}

fn compare(texts: &[String]) {
    let Some(answers) = pyyaml(texts) else { return };
    let mut differences: Vec<(&String, String)> = texts
        .iter()
        .zip(&answers)
        .filter_map(|(text, theirs)| difference(text, theirs).map(|difference| (text, difference)))
        .collect();
    differences.sort_by_key(|(text, _)| text.len());
    let accepted = answers.iter().filter(|answer| answer.get("value").is_some()).count();
    println!("{} texts, {accepted} of them valid, {} differences", texts.len(), differences.len());
    let stricter = texts
        .iter()
        .zip(&answers)
        .filter(|(text, answer)| answer.get("value").is_some() && yaml11::parse(text.as_str()).is_err())
        .count();
    println!(
        "stricter on {stricter} of them: a value inside itself, or half a surrogate pair, under an overridden key"
    );
    let mut report = String::new();
    for (text, difference) in differences.iter().take(8) {
        write!(report, "\n--- {text:?}\n{difference}\n").unwrap();
    }
    assert!(differences.is_empty(), "{} of {} texts are read differently:{report}", differences.len(), texts.len());
    assert!(stricter <= 1 + texts.len() / 10_000, "{stricter} of {} texts are refused by us alone", texts.len());
    // A comparison of refusals alone would prove little.
    assert!(accepted * 5 > texts.len(), "only {accepted} of {} texts are valid", texts.len());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
fn the_corpus_is_read_as_pyyaml_reads_it() {
    compare(&corpus::CORPUS.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
}

#[test]
fn generated_texts_are_read_as_pyyaml_reads_them() {
    let mut random = Random::new(number("MKIMG_YAML_SEED", 20_261_122));
    let count = number("MKIMG_YAML_TEXTS", 3000);
    compare(&(0..count).map(|_| generate::text(&mut random)).collect::<Vec<_>>());
}

#[test]
fn pyyaml_reads_back_what_we_write() {
    let mut random = Random::new(number("MKIMG_YAML_SEED", 20_261_122));
    let count = number("MKIMG_YAML_TEXTS", 3000) / 3;
    let strings: Vec<String> = (0..count).map(|_| generate::text(&mut random)).collect();
    let texts: Vec<String> = strings
        .iter()
        .map(|text| {
            let entry =
                emit::Map::new().with("content", text.as_str()).with(text.as_str(), emit::Value::Quoted(text.clone()));
            emit::document(&emit::Map::new().with("write_files", emit::Value::list([entry])).into())
        })
        .collect();
    let Some(answers) = pyyaml(&texts) else { return };
    for ((text, written), answer) in strings.iter().zip(&texts).zip(answers) {
        let string = json!(["str", text]);
        let entry = if text == "content" {
            json!([[["str", "content"], string]])
        } else {
            json!([[["str", "content"], string], [string, string]])
        };
        let expected = json!(["dict", [[["str", "write_files"], ["list", [["dict", entry]]]]]]);
        assert_eq!(answer["value"], expected, "{text:?} was written as\n{written}\nand read as {answer}");
    }
}
