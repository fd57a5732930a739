use proptest::prelude::*;

use super::*;
use crate::{Node, Scalar, parse};

fn read(text: &str) -> crate::Tree {
    parse(text).unwrap_or_else(|error| panic!("{error} at {:?} in:\n{text}", error.span))
}

fn same(node: Node<'_>, value: &Value) -> bool {
    match (value, node.scalar()) {
        (Value::Null, Some(Scalar::Null)) => true,
        (Value::Bool(value), Some(Scalar::Bool(found))) => value == found,
        (Value::Int(value), Some(Scalar::Int(found))) => value.to_string() == *found,
        (Value::Str(value) | Value::Quoted(value), Some(Scalar::Str(found))) => value == found,
        (Value::List(items), None) => node.items().is_some_and(|found| {
            found.len() == items.len() && found.zip(items).all(|(node, item)| same(node, &item.value))
        }),
        (Value::Map(map), None) => node.entries().is_some_and(|found| {
            found.len() == map.0.len()
                && found
                    .zip(&map.0)
                    .all(|((key, node), pair)| key.as_str() == Some(pair.key.as_str()) && same(node, &pair.value))
        }),
        _ => false,
    }
}

fn assert_read_back(value: &Value) {
    let text = document(value);
    let tree = read(&text);
    assert!(tree.root().is_some_and(|root| same(root, value)), "not read back: {value:?}\n{text}");
}

/// Strings of characters that mean something to YAML.
fn awkward() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n"),
        Just(" "),
        Just("\t"),
        Just("\r"),
        Just("#"),
        Just(":"),
        Just("- "),
        Just("a"),
        Just("\u{85}"),
        Just("\u{2028}"),
        Just("\u{feff}"),
        Just("\0"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("{"),
        Just("]"),
        Just("---"),
        Just("..."),
        Just("0"),
        Just("1"),
        Just("_"),
        Just("."),
        Just("="),
        Just("<<"),
        Just("yes"),
        Just("é"),
        Just("\u{1f600}"),
        Just("|"),
        Just(">"),
        Just("&x"),
        Just("*x"),
        Just("!t"),
        Just("%"),
        Just("?"),
        Just("\u{fffe}"),
        Just("\u{7f}"),
        Just("2001-01-01"),
        Just("0x"),
        Just("e+3"),
        Just("~"),
        Just("null"),
    ];
    prop_oneof![proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()), any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        awkward().prop_map(Value::Str),
        awkward().prop_map(Value::Quoted),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let comment = || proptest::option::weighted(0.2, awkward());
        prop_oneof![
            proptest::collection::vec((comment(), inner.clone()), 0..5).prop_map(|items| {
                Value::List(items.into_iter().map(|(comment, value)| ListItem { comment, value }).collect())
            }),
            proptest::collection::vec((comment(), awkward(), inner), 0..5).prop_map(|pairs| {
                Value::Map(Map(pairs
                    .into_iter()
                    .map(|(comment, key, value)| MapEntry { comment, key, value })
                    .collect()))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_is_read_back(value in value()) {
        assert_read_back(&value);
    }

    #[test]
    fn any_string_is_read_back_in_every_position(text in awkward()) {
        let value = Value::Str(text.clone());
        assert_read_back(&value);
        assert_read_back(&Value::list([value.clone(), Value::list([value.clone()])]));
        assert_read_back(&Map::new().with(text, Value::list([Map::new().with("k", value)])).into());
    }
}

#[test]
fn ambiguous_strings_are_quoted() {
    for text in [
        "yes", "Off", "0644", "1:30", "1_000", "=", "<<", "2021-02-30", "", " a", "a ", "a: b", "a #b", "a:", "~",
        "null", "- a", "-", "?", "? a", "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "#a", "|", ">", "'a", "\"a",
        ",a", ".5", "1e3", "y", "0o17", "...", "---", "1.0", ".inf", "a\tb", "\u{feff}a", "12", "-1",
    ] {
        let written = document(&text.into());
        assert!(written.starts_with('"'), "{text:?} is written {written:?}");
        assert_read_back(&text.into());
    }
}

#[test]
fn safe_strings_are_plain() {
    for text in [
        "/etc/hosts", "root:root", "a b", "apt-get update -q", "é", "-x", "$HOME/x", "v3.40.0", "10.0.0.1", "it's",
        "a#b", "x=y",
    ] {
        assert_eq!(document(&text.into()), format!("{text}\n"));
    }
}

#[test]
fn documents_are_readable() {
    let mut entry = Map::new().with("path", "/etc/motd").with("permissions", Value::Quoted("0644".into()));
    entry.push("content", "Hello\n\n  there\n");
    let mut root = Map::new();
    root.push_commented("What is written.\nBefore anything else.", "write_files", Value::list([entry]));
    root.push("runcmd", Value::list([Value::list(["sh", "-c", "true"]), "echo done".into()]));
    root.push("users", Value::List(Vec::new()));
    root.push("n", 5);
    assert_eq!(
        document(&root.into()),
        "# What is written.\n# Before anything else.\nwrite_files:\n- path: /etc/motd\n  permissions: \"0644\"\n  content: |\n    Hello\n\n      there\nruncmd:\n- - sh\n  - -c\n  - \"true\"\n- echo done\nusers: []\n\"n\": 5\n"
    );
}

#[test]
fn literal_blocks_keep_every_line_end() {
    for (text, written) in [
        ("a\nb", "|-\n  a\n  b\n"),
        ("a\nb\n", "|\n  a\n  b\n"),
        ("a\n\n\n", "|+\n  a\n\n\n"),
        ("  a\nb\n", "|2\n    a\n  b\n"),
        ("\n\na", "|2-\n\n\n  a\n"),
        ("\ta\n", "|\n  \ta\n"),
        ("\n\n", "\"\\n\\n\"\n"),
        ("a\r\nb\n", "\"a\\r\\nb\\n\"\n"),
    ] {
        assert_eq!(document(&text.into()), written);
        assert_read_back(&text.into());
    }
}

#[test]
fn representation_is_the_most_readable() {
    for (bytes, expected) in [
        (&b"#!/bin/sh\necho\n"[..], Representation::Text),
        (b"", Representation::Text),
        (b"one line", Representation::Text),
        (b"a\r\n", Representation::Escaped),
        (b"\x1b[0m", Representation::Escaped),
        (b"\n\n", Representation::Escaped),
        (b"\xff\xfe", Representation::Bytes),
    ] {
        assert_eq!(representation(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn long_keys_are_written_explicitly() {
    assert_read_back(&Map::new().with("k".repeat(1100), Map::new().with("\n".repeat(600), 1)).with("z", 2).into());
}
