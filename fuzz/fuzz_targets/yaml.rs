//! Any text is read, or rejected with a span inside it; what was read is written and read back as the same values.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yaml11::emit::{self, ListItem, Map, Value};
use yaml11::{Node, NodeKind, Scalar, Tree, parse};

/// Aliases can multiply values without limit; larger documents are not worth the time.
const MAX_VALUES: u64 = 10_000;

/// A node as an emitter value; `None` if the emitter cannot write it (dates, bytes, keys that are not strings).
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
    let tree = match parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            for span in [error.span, error.reported_span()].into_iter().chain(error.context) {
                assert!(text.get(span.start..span.end).is_some(), "span outside the text: {error:?}");
            }
            return;
        }
    };
    let Some(root) = tree.root() else { return };
    if tree.expanded_len() > MAX_VALUES {
        return;
    }
    let Some(read) = value(&tree, root) else { return };
    let written = emit::document(&read);
    let tree = parse(&written).unwrap_or_else(|error| panic!("not read back: {error:?}\n{written}"));
    let back = tree.root().and_then(|root| value(&tree, root));
    assert_eq!(back.as_ref(), Some(&read), "{written}");
});
