use super::*;

fn read(text: &str) -> Tree {
    parse(text).unwrap_or_else(|error| panic!("{error} at {:?} in {text:?}", error.span))
}

fn parse_error(text: &str) -> Error {
    match parse(text) {
        Ok(tree) => panic!("{text:?} was read as {tree:?}"),
        Err(error) => error,
    }
}

/// The position that cloud-init reports.
fn reported_position(text: &str) -> (usize, usize) {
    let before = text[..parse_error(text).reported_span().start].replace("\r\n", "\n");
    let mut lines = before.split(['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}']).rev();
    let column = 1 + lines.next().map_or(0, |line| line.chars().count());
    (1 + lines.count(), column)
}

/// A node in one line, in Python syntax.
fn shown(node: Node<'_>) -> String {
    let both = |(key, value): (Node<'_>, Node<'_>)| format!("{}: {}", shown(key), shown(value));
    match node.kind() {
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::Null => "None".to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(digits) => digits.clone(),
            Scalar::Float(value) => format!("{value:?}"),
            Scalar::Str(text) => format!("{text:?}"),
            Scalar::Timestamp(text) => format!("@{text}"),
            Scalar::Binary(bytes) => format!("b{bytes:?}"),
        },
        NodeKind::Sequence(_) => {
            format!("[{}]", node.items().into_iter().flatten().map(shown).collect::<Vec<_>>().join(", "))
        }
        NodeKind::Mapping(_) => {
            format!("{{{}}}", node.entries().into_iter().flatten().map(both).collect::<Vec<_>>().join(", "))
        }
        NodeKind::Set(_) => {
            format!("set({})", node.members().into_iter().flatten().map(shown).collect::<Vec<_>>().join(", "))
        }
        NodeKind::Pairs(_) => {
            format!("pairs({})", node.pairs().into_iter().flatten().map(both).collect::<Vec<_>>().join(", "))
        }
    }
}

fn value(text: &str) -> String {
    read(text).root().map_or_else(|| "nothing".to_owned(), shown)
}

#[test]
fn documents_are_read() {
    for (text, expected) in [
        ("", "nothing"),
        ("# only a comment\n", "nothing"),
        ("---\n", "None"),
        ("a: 1\nb: [x, yes, 0644]\nc:\n- - y\n  - ''\n", r#"{"a": 1, "b": ["x", true, 420], "c": [["y", ""]]}"#),
        ("a: |\n  x\n   y\n\nb: >-\n  f\n  g\n\n  h\n", r#"{"a": "x\n y\n", "b": "f g\nh"}"#),
        ("{a, b: , ? c}", r#"{"a": None, "b": None, "c": None}"#),
        ("a:\n- x\n-\nb: 1\n", r#"{"a": ["x", None], "b": 1}"#),
        ("a:\n-\n", r#"{"a": [None]}"#),
        ("[a: b, c]", r#"[{"a": "b"}, "c"]"#),
        ("? [a]\n: b\n", "!"),
        ("a: b\n  c\n\n  d # e\n", r#"{"a": "b c\nd"}"#),
        ("'it''s': \"\\u00e9\\\n  x\"", r#"{"it's": "éx"}"#),
        ("%YAML 1.1\n%TAG !e! tag:yaml.org,2002:\n---\n!e!str 5\n...\n", r#""5""#),
        ("!!set {a, b}", r#"set("a", "b")"#),
        ("!!omap [a: 1, b: 2]", r#"pairs("a": 1, "b": 2)"#),
        ("!!binary aGk=", "b[104, 105]"),
        ("! 'yes'", "true"),
        ("!!str {=: x}", r#""x""#),
        ("\u{feff}a: b", r#"{"a": "b"}"#),
        ("a: 2001-12-14\r\nb: 1.5\r\n", r#"{"a": @2001-12-14, "b": 1.5}"#),
        ("a:\r  - b\r", r#"{"a": ["b"]}"#),
    ] {
        if expected == "!" {
            parse_error(text);
        } else {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }
}

#[test]
fn merge_keys_are_applied_and_marked() {
    let text = "base: &b {x: 1, y: 2}\nmore: &m {x: 9}\nuse: {<<: [*b, *m], y: 3}\n";
    let tree = read(text);
    let used = tree.root().and_then(|root| root.get("use")).unwrap();
    assert_eq!(shown(used), r#"{"x": 9, "x": 1, "y": 2, "y": 3}"#);
    assert_eq!(used.mapping().unwrap().iter().map(|entry| entry.merged).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(used.get("y").and_then(Node::scalar), Some(&Scalar::Int("3".into())));
    assert_eq!(used.get("x").and_then(Node::scalar), Some(&Scalar::Int("1".into())));
    assert_eq!(value("&a {x: 1, <<: *a}"), r#"{"x": 1, "x": 1}"#);
}

#[test]
fn aliases_refer_to_their_node_and_have_their_own_span() {
    let text = "a: &x [1]\nb: *x\n";
    let tree = read(text);
    let root = tree.root().unwrap();
    let (first, second) = (root.get("a").unwrap(), root.get("b").unwrap());
    assert_eq!(first.id(), second.id());
    assert_eq!(&text[second.used_at().start..second.used_at().end], "*x");
    assert_eq!(&text[second.span().start..second.span().end], "&x [1]");
}

#[test]
fn spans_are_those_of_keys_and_values() {
    let text = "é: [a, {b: 'c'}]\nd:\n  - |\n    t\n  - e\n\nf: g\n";
    let tree = read(text);
    let root = tree.root().unwrap();
    let part = |node: Node<'_>| &text[node.span().start..node.span().end];
    assert_eq!(part(root.get("é").unwrap()), "[a, {b: 'c'}]");
    assert_eq!(part(root.get("d").unwrap()), "- |\n    t\n  - e");
    assert_eq!(part(root.get("f").unwrap()), "g");
    assert_eq!(part(root.entries().unwrap().last().unwrap().0), "f");
}

#[test]
fn errors_are_reported_where_pyyaml_reports_them() {
    for (text, expected) in [
        ("a: [1,\n  2\nb: 3\n", (1, 4)),
        ("a: b: c\n", (1, 5)),
        ("a:\n\tb: c\n", (2, 1)),
        ("a: 'x\nb: c\n", (1, 4)),
        ("a\nb: c\n", (2, 2)),
        ("a: 1\n b: 2\n", (2, 3)),
        ("a: *x\n", (1, 4)),
        ("a: &x 1\nb: &x 2\n", (1, 4)),
        ("a: 1\n---\nb: 2\n", (1, 1)),
        ("a: !foo b\n", (1, 4)),
        ("a: !!python/object:os.system x\n", (1, 4)),
        ("? [a]\n: b\n", (1, 1)),
        ("a: !!int five\n", (1, 4)),
        ("a: 2021-02-30\n", (1, 4)),
        ("a:\n  <<: 5\n", (2, 3)),
        ("- a\n- b: 1\n  b: <<\n", (3, 6)),
        ("a: @b\n", (1, 4)),
        ("a: \u{7}\n", (1, 4)),
        ("a: \"\\q\"\n", (1, 4)),
        ("a: |x\n", (1, 4)),
        ("&a [*a]\n", (1, 1)),
    ] {
        assert_eq!(reported_position(text), expected, "{text:?}: {}", parse_error(text));
    }
}

#[test]
fn limits_end_in_a_clear_error() {
    for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), "? ".repeat(10_000)] {
        let error = parse_error(&text);
        assert!(error.message.contains("levels of nesting"), "{error}");
    }
    assert!(read(&("[".repeat(400) + &"]".repeat(400))).expanded_len() == 400);
    assert!(parse_error(&"a".repeat(MAX_BYTES + 1)).message.contains("bytes"));
    assert!(parse_error(&"- \n".repeat(MAX_NODES + 1)).message.contains("values"));
}

#[test]
fn messages_stay_short() {
    for text in
        [format!("!{} x", "t".repeat(5000)), format!("*{}", "a".repeat(5000)), format!("!!int {}", "x".repeat(5000))]
    {
        assert!(parse_error(&text).message.len() < 200);
    }
}

#[test]
fn alias_bombs_stay_small() {
    use std::fmt::Write as _;
    let mut text = "a0: &a0 [x]\n".to_owned();
    let mut merges = "m0: &m0 {x: 1}\n".to_owned();
    for level in 1..100 {
        let below = level - 1;
        writeln!(text, "a{level}: &a{level} [{}]", vec![format!("*a{below}"); 9].join(", ")).unwrap();
        writeln!(merges, "m{level}: &m{level} {{<<: [{}]}}", vec![format!("*m{below}"); 9].join(", ")).unwrap();
    }
    let tree = read(&text);
    assert!(tree.nodes.len() < 500);
    assert_eq!(tree.expanded_len(), u64::MAX);
    assert!(parse_error(&merges).message.contains("merge keys"));
}
