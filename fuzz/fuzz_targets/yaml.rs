//! Any text is read or refused with a place in it; what was read is written and read back as the same values.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mkimg::source::Source;
use mkimg::yaml::emit::{self, ListItem, Map, Value};
use mkimg::yaml::{Node, NodeKind, Scalar, Tree, parse};

/// More values are not worth the time: aliases make any number of them.
const MOST: u64 = 10_000;

/// A node as the emitter takes it; `None` where it holds what the emitter cannot write (dates, bytes, keys that are no text).
fn value(tree: &Tree, node: Node<'_>) -> Option<Value> {
    Some(match node.kind() {
        NodeKind::Scalar(Scalar::Null) => Value::Null,
        NodeKind::Scalar(Scalar::Bool(value)) => Value::Bool(*value),
        NodeKind::Scalar(Scalar::Int(digits)) => Value::Int(digits.parse().ok()?),
        NodeKind::Scalar(Scalar::Str(text)) => Value::Str(text.clone()),
        NodeKind::Scalar(_) | NodeKind::Set(_) | NodeKind::Pairs(_) => return None,
        NodeKind::Sequence(items) => {
            let items = items.iter().map(|item| value(tree, tree.node(*item)).map(ListItem::from));
            Value::List(items.collect::<Option<Vec<_>>>()?)
        }
        NodeKind::Mapping(entries) => {
            let mut map = Map::new();
            for entry in entries {
                map.push(tree.node(entry.key).as_str()?, value(tree, tree.node(entry.value))?);
            }
            Value::Map(map)
        }
    })
}

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let source = Source::new("t", text);
    let tree = match parse(&source) {
        Ok(tree) => tree,
        Err(error) => {
            for span in [error.span, error.reported_span()].into_iter().chain(error.context) {
                assert!(text.get(span.start..span.end).is_some(), "no such place in the text: {error:?}");
                let _ = source.position(span.start);
            }
            return;
        }
    };
    let Some(root) = tree.root() else { return };
    if tree.expanded_len() > MOST {
        return;
    }
    let Some(read) = value(&tree, root) else { return };
    let written = emit::document(&read);
    let again = Source::new("written", written.as_str());
    let tree = parse(&again).unwrap_or_else(|error| panic!("what was written is not read: {error:?}\n{written}"));
    let back = tree.root().and_then(|root| value(&tree, root));
    assert_eq!(back.as_ref(), Some(&read), "{written}");
});
