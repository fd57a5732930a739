//! The last step: values in their final form, and no value inside itself.

use super::super::compose::Content;
use super::super::error::Error;
use super::super::tree::{Child, Data, Entry, NodeKind, Scalar, Tree};
use super::{Built, Constructor};

impl Constructor<'_> {
    pub(super) fn finish(mut self) -> Result<Tree, Error> {
        let half = self.composed.deferred.take();
        let nodes = self
            .composed
            .nodes
            .into_iter()
            .zip(self.built)
            .map(|(raw, built)| {
                let kind = match (built, raw.content) {
                    (Built::Scalar(scalar), _) => NodeKind::Scalar(scalar),
                    (Built::Sequence, Content::Sequence(items)) => NodeKind::Sequence(items),
                    (Built::Mapping, Content::Mapping(entries)) => NodeKind::Mapping(entries),
                    (Built::Set, Content::Mapping(entries)) => {
                        NodeKind::Set(entries.into_iter().map(|entry| entry.key).collect())
                    }
                    (Built::Pairs(pairs), _) => NodeKind::Pairs(pairs),
                    // Merge keys and the like: no value refers to them.
                    _ => NodeKind::Scalar(Scalar::Null),
                };
                Data { span: raw.span, kind }
            })
            .collect();
        let tree = Tree { nodes, root: self.composed.root, half };
        if self.composed.self_reference {
            refuse_cycles(&tree)?;
        }
        Ok(tree)
    }
}

/// What a node holds, keys included.
fn children(kind: &NodeKind) -> Vec<Child> {
    let both = |entries: &[Entry]| entries.iter().flat_map(|entry| [entry.key, entry.value]).collect();
    match kind {
        NodeKind::Scalar(_) => Vec::new(),
        NodeKind::Sequence(items) | NodeKind::Set(items) => items.clone(),
        NodeKind::Mapping(entries) | NodeKind::Pairs(entries) => both(entries),
    }
}

/// PyYAML builds a value that contains itself, and everything that then walks over it falls over. We say so at once.
fn refuse_cycles(tree: &Tree) -> Result<(), Error> {
    #[derive(Clone, Copy, PartialEq)]
    enum Visit {
        New,
        Open,
        Done,
    }
    let Some(root) = tree.root else { return Ok(()) };
    let mut visits = vec![Visit::New; tree.nodes.len()];
    let mut stack = vec![(root, children(&tree.data(root).kind).into_iter())];
    visits[root.0 as usize] = Visit::Open;
    while let Some((id, rest)) = stack.last_mut() {
        let Some(child) = rest.next() else {
            visits[id.0 as usize] = Visit::Done;
            stack.pop();
            continue;
        };
        match visits[child.id.0 as usize] {
            Visit::Done => {}
            Visit::Open => {
                let message = "expected an alias of a value that is complete, found one inside the value itself";
                return Err(Error::within(message, tree.data(child.id).span, child.used_at));
            }
            Visit::New => {
                visits[child.id.0 as usize] = Visit::Open;
                stack.push((child.id, children(&tree.data(child.id).kind).into_iter()));
            }
        }
    }
    Ok(())
}
