//! Constructs values from composed nodes, in PyYAML's order, so that the same error is found first.
//!
//! A collection joins a queue when it is first reached and is filled when its turn comes, like
//! PyYAML's generators. Nothing recurses into values. To support a tag, add a variant in `resolve`
//! and its arms in [`Constructor::begin`] and [`Constructor::fill`].

mod number;
pub(super) mod timestamp;

use std::collections::{HashMap, VecDeque};

use super::compose::{Composed, Content, MAX_DEPTH};
use super::error::{Error, excerpt};
use super::resolve::Tag;
use super::tree::{Child, Entry, NodeData, NodeId, NodeKind, Scalar, Tree};
use crate::Span;
use timestamp::DateTime;

/// Maximum number of entries that merge keys add to a document. Each merge can double a mapping.
pub const MAX_MERGED_ENTRIES: usize = 1_000_000;

/// Construction state of a node.
#[derive(Debug)]
enum Built {
    Nothing,
    Scalar(Scalar),
    Sequence,
    Mapping,
    Set,
    Pairs(Vec<Entry>),
}

struct Constructor<'a> {
    composed: Composed<'a>,
    built: Vec<Built>,
    queue: VecDeque<NodeId>,
    /// Unprocessed entries of mappings whose merge keys are being applied.
    pending: HashMap<NodeId, VecDeque<Entry>>,
    merged: usize,
}

pub(super) fn construct(composed: Composed<'_>) -> Result<Tree, Error> {
    let Some(root) = composed.root else { return Ok(Tree::default()) };
    let built = composed.nodes.iter().map(|_| Built::Nothing).collect();
    let mut constructor = Constructor { composed, built, queue: VecDeque::new(), pending: HashMap::new(), merged: 0 };
    constructor.begin(root)?;
    while let Some(id) = constructor.queue.pop_front() {
        constructor.fill(id)?;
    }
    constructor.finish()
}

impl Constructor<'_> {
    fn content(&self, id: NodeId) -> &Content<'_> {
        &self.composed.nodes[id.0 as usize].content
    }

    fn tag(&self, id: NodeId) -> Tag {
        self.composed.nodes[id.0 as usize].tag
    }

    fn span(&self, id: NodeId) -> Span {
        self.composed.nodes[id.0 as usize].span
    }

    fn error(&self, id: NodeId, message: impl Into<String>) -> Error {
        Error::new(message, self.span(id))
    }

    /// Constructs a scalar, or queues a collection.
    fn begin(&mut self, id: NodeId) -> Result<(), Error> {
        let index = id.0 as usize;
        if !matches!(self.built[index], Built::Nothing) {
            return Ok(());
        }
        let built = match self.tag(id) {
            Tag::Str => Built::Scalar(Scalar::Str(self.take_text(id)?)),
            Tag::Null => {
                self.text(id)?;
                Built::Scalar(Scalar::Null)
            }
            Tag::Bool => Built::Scalar(Scalar::Bool(self.boolean(id)?)),
            Tag::Int => {
                let text = self.text(id)?;
                let value = number::int(text).ok_or_else(|| {
                    self.error(id, format!("expected an integer of at most 4300 digits, found {}", excerpt(text)))
                })?;
                Built::Scalar(Scalar::Int(value))
            }
            Tag::Float => {
                let text = self.text(id)?;
                let value = number::float(text)
                    .ok_or_else(|| self.error(id, format!("expected a number, found {}", excerpt(text))))?;
                Built::Scalar(Scalar::Float(value))
            }
            Tag::Binary => {
                let bytes = decode_base64(self.text(id)?).map_err(|message| self.error(id, message))?;
                Built::Scalar(Scalar::Binary(bytes))
            }
            Tag::Timestamp => Built::Scalar(Scalar::Timestamp(self.timestamp(id)?)),
            Tag::Seq => Built::Sequence,
            Tag::Map => Built::Mapping,
            Tag::Set => Built::Set,
            Tag::Omap | Tag::Pairs => Built::Pairs(Vec::new()),
            Tag::Merge => return Err(self.error(id, "expected `<<` as a key only; as a value, put it in quotes")),
            Tag::Value => return Err(self.error(id, "expected `=` as a key only; as a value, put it in quotes")),
            Tag::Yaml => return Err(self.error(id, "expected a value, found a YAML indicator")),
            Tag::Unknown(number) => {
                let name = &self.composed.unknown_tags[number as usize];
                let short = name.strip_prefix("tag:yaml.org,2002:").map(|rest| format!("!!{rest}"));
                let name = short.unwrap_or_else(|| name.to_string());
                return Err(self.error(id, format!("expected a tag of YAML's safe types, found {}", excerpt(&name))));
            }
        };
        if !matches!(built, Built::Scalar(_)) {
            self.queue.push_back(id);
        }
        self.built[index] = built;
        Ok(())
    }

    /// The text of a scalar, or of the value under a mapping's `=` key.
    fn text(&self, id: NodeId) -> Result<&str, Error> {
        let mut at = id;
        for _ in 0..=MAX_DEPTH {
            match self.content(at) {
                Content::Scalar(text) => return Ok(text),
                Content::Mapping(entries) => {
                    let Some(entry) = entries.iter().find(|entry| self.tag(entry.key.id) == Tag::Value) else { break };
                    at = entry.value.id;
                }
                Content::Sequence(_) => break,
            }
        }
        Err(self.error(at, format!("expected a scalar, as the tag says, found {}", self.content(at).name())))
    }

    /// Like [`Self::text`], but moves the text out: a scalar is read only once, unless a mapping's `=` key
    /// leads to it.
    fn take_text(&mut self, id: NodeId) -> Result<String, Error> {
        if !self.composed.has_value_tag
            && let Content::Scalar(text) = &mut self.composed.nodes[id.0 as usize].content
        {
            return Ok(std::mem::take(text).into_owned());
        }
        self.text(id).map(str::to_owned)
    }

    fn boolean(&self, id: NodeId) -> Result<bool, Error> {
        let text = self.text(id)?;
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            _ => Err(self.error(id, format!("expected true or false, found {}", excerpt(text)))),
        }
    }

    fn timestamp(&self, id: NodeId) -> Result<String, Error> {
        let text = self.text(id)?;
        if !matches!(self.content(id), Content::Scalar(_)) {
            return Err(self.error(id, "expected a timestamp, found a mapping"));
        }
        match DateTime::parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => Err(self.error(id, format!("expected a timestamp, found {}: {why}", excerpt(text)))),
        }
    }

    /// Constructs the children of a collection.
    fn fill(&mut self, id: NodeId) -> Result<(), Error> {
        match self.tag(id) {
            Tag::Seq => {
                let count = self.items(id, "a list")?;
                for place in 0..count {
                    let child = self.item(id, place);
                    self.begin(child.id)?;
                }
                Ok(())
            }
            Tag::Omap | Tag::Pairs => self.fill_pairs(id),
            _ => self.fill_mapping(id),
        }
    }

    fn items(&self, id: NodeId, expected: &str) -> Result<usize, Error> {
        match self.content(id) {
            Content::Sequence(items) => Ok(items.len()),
            other => Err(self.wrong_kind(id, expected, other.name())),
        }
    }

    fn wrong_kind(&self, id: NodeId, expected: &str, found: &str) -> Error {
        self.error(id, format!("expected {expected}, as the tag says, found {found}"))
    }

    fn item(&self, id: NodeId, place: usize) -> Child {
        match self.content(id) {
            Content::Sequence(items) => items[place],
            _ => Child { id, used_at: self.span(id) },
        }
    }

    fn entries(&self, id: NodeId) -> &[Entry] {
        match self.content(id) {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    fn fill_mapping(&mut self, id: NodeId) -> Result<(), Error> {
        let Content::Mapping(_) = self.content(id) else {
            return Err(self.wrong_kind(id, "a mapping", self.content(id).name()));
        };
        self.flatten(id, 0)?;
        for place in 0..self.entries(id).len() {
            let Entry { key, value, .. } = self.entries(id)[place];
            self.begin(key.id)?;
            if !matches!(self.built[key.id.0 as usize], Built::Scalar(_)) {
                let message = format!("expected a scalar as key, found {}", self.content(key.id).name());
                return Err(Error::within(message, self.span(id), key.used_at));
            }
            self.begin(value.id)?;
        }
        Ok(())
    }

    fn fill_pairs(&mut self, id: NodeId) -> Result<(), Error> {
        let start = self.span(id);
        let count = match self.content(id) {
            Content::Sequence(items) => items.len(),
            other => {
                let message = format!("expected a list, as the tag says, found {}", other.name());
                return Err(Error::within(message, start, start));
            }
        };
        let mut pairs = Vec::with_capacity(count);
        for place in 0..count {
            let child = self.item(id, place);
            let entry = match self.content(child.id) {
                Content::Mapping(entries) => {
                    let [entry] = entries.as_slice() else {
                        let message = format!("expected a mapping of one key, found {} keys", entries.len());
                        return Err(Error::within(message, start, child.used_at));
                    };
                    *entry
                }
                other => {
                    let message = format!("expected a mapping of one key, found {}", other.name());
                    return Err(Error::within(message, start, child.used_at));
                }
            };
            self.begin(entry.key.id)?;
            self.begin(entry.value.id)?;
            pairs.push(entry);
        }
        self.built[id.0 as usize] = Built::Pairs(pairs);
        Ok(())
    }

    /// Applies the merge keys of a mapping. Merged entries come first, so that the mapping's own entries
    /// win.
    fn flatten(&mut self, id: NodeId, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(self.error(id, format!("expected at most {MAX_DEPTH} mappings merged into each other")));
        }
        if !self.pending.contains_key(&id) {
            let special = |entry: &Entry| matches!(self.tag(entry.key.id), Tag::Merge | Tag::Value);
            if !self.entries(id).iter().any(special) {
                return Ok(());
            }
            let entries = std::mem::take(self.entries_mut(id));
            self.pending.insert(id, entries.into());
        }
        let mut merge = Vec::new();
        while let Some(entry) = self.pending.get_mut(&id).and_then(VecDeque::pop_front) {
            match self.tag(entry.key.id) {
                Tag::Merge => self.merge(id, entry.value, depth, &mut merge)?,
                tag => {
                    if tag == Tag::Value {
                        self.composed.nodes[entry.key.id.0 as usize].tag = Tag::Str;
                    }
                    self.entries_mut(id).push(entry);
                }
            }
        }
        self.pending.remove(&id);
        if !merge.is_empty() {
            let own = self.entries_mut(id);
            merge.append(own);
            *own = merge;
        }
        Ok(())
    }

    fn merge(&mut self, into: NodeId, from: Child, depth: usize, merge: &mut Vec<Entry>) -> Result<(), Error> {
        match self.content(from.id) {
            Content::Mapping(_) => {
                self.flatten(from.id, depth + 1)?;
                self.merge_entries(into, from, merge)
            }
            Content::Sequence(items) => {
                let count = items.len();
                for place in 0..count {
                    let item = self.item(from.id, place);
                    if !matches!(self.content(item.id), Content::Mapping(_)) {
                        let found = self.content(item.id).name();
                        let message = format!("expected a mapping to merge, found {found}");
                        return Err(Error::within(message, self.span(into), item.used_at));
                    }
                    self.flatten(item.id, depth + 1)?;
                }
                // The first mapping of the list wins, so it comes last.
                for place in (0..count).rev() {
                    let item = self.item(from.id, place);
                    self.merge_entries(into, item, merge)?;
                }
                Ok(())
            }
            Content::Scalar(_) => {
                let message = "expected a mapping, or a list of mappings, to merge, found a scalar";
                Err(Error::within(message, self.span(into), from.used_at))
            }
        }
    }

    fn merge_entries(&mut self, into: NodeId, from: Child, merge: &mut Vec<Entry>) -> Result<(), Error> {
        let pending = self.pending.get(&from.id);
        let count = self.entries(from.id).len() + pending.map_or(0, VecDeque::len);
        self.merged += count;
        if self.merged > MAX_MERGED_ENTRIES {
            let message = format!("expected merge keys to add at most {MAX_MERGED_ENTRIES} entries, found more");
            return Err(Error::within(message, self.span(into), from.used_at));
        }
        let all = self.entries(from.id).iter().chain(pending.into_iter().flatten());
        merge.extend(all.map(|entry| Entry { merged: true, ..*entry }));
        Ok(())
    }

    fn entries_mut(&mut self, id: NodeId) -> &mut Vec<Entry> {
        let content = &mut self.composed.nodes[id.0 as usize].content;
        if !matches!(content, Content::Mapping(_)) {
            *content = Content::Mapping(Vec::new());
        }
        match content {
            Content::Mapping(entries) => entries,
            _ => unreachable!("made a mapping above"),
        }
    }
}

impl Constructor<'_> {
    fn finish(mut self) -> Result<Tree, Error> {
        let lone_surrogate = self.composed.lone_surrogate.take();
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
                    // Nodes that no value refers to, such as merge keys.
                    _ => NodeKind::Scalar(Scalar::Null),
                };
                NodeData { span: raw.span, kind }
            })
            .collect();
        let tree = Tree { nodes, root: self.composed.root, lone_surrogate };
        if self.composed.self_reference {
            refuse_cycles(&tree)?;
        }
        Ok(tree)
    }
}

/// Children of a node, keys included.
fn children(kind: &NodeKind) -> Vec<Child> {
    let both = |entries: &[Entry]| entries.iter().flat_map(|entry| [entry.key, entry.value]).collect();
    match kind {
        NodeKind::Scalar(_) => Vec::new(),
        NodeKind::Sequence(items) | NodeKind::Set(items) => items.clone(),
        NodeKind::Mapping(entries) | NodeKind::Pairs(entries) => both(entries),
    }
}

/// Rejects values that contain themselves. PyYAML builds them, but cloud-init then fails on them.
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
                let message = "expected an alias of a value that is complete, found an alias inside the value itself";
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

/// Decodes base64 as Python does: characters outside the alphabet are skipped, and text after the
/// padding is ignored.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    if let Some(ch) = text.chars().find(|ch| !ch.is_ascii()) {
        return Err(format!("expected base64, found the character `{ch}`"));
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut place = 0;
    let mut left = 0_u8;
    let mut pads = 0;
    for byte in text.bytes() {
        if byte == b'=' {
            if place >= 2 {
                pads += 1;
                if place + pads >= 4 {
                    return Ok(out);
                }
            }
            continue;
        }
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        pads = 0;
        match place {
            0 => left = value,
            1 => {
                out.push((left << 2) | (value >> 4));
                left = value & 0x0f;
            }
            2 => {
                out.push((left << 4) | (value >> 2));
                left = value & 0x03;
            }
            _ => out.push((left << 6) | value),
        }
        place = (place + 1) % 4;
    }
    match place {
        0 => Ok(out),
        1 => Err("expected base64 in groups of four characters, found one character too many".to_owned()),
        _ => Err("expected base64 in groups of four characters, found its `=` padding missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::decode_base64;

    #[test]
    fn base64_is_read_as_python_reads_it() {
        assert_eq!(decode_base64("aGVs\n bG8=").unwrap(), b"hello");
        assert_eq!(decode_base64("aGVsbG8=ignored").unwrap(), b"hello");
        assert_eq!(decode_base64("").unwrap(), b"");
        assert_eq!(decode_base64("!!a*G*k=").unwrap(), b"hi");
        assert!(decode_base64("aGk").is_err());
        assert!(decode_base64("aGVsb").is_err());
        assert!(decode_base64("é").is_err());
    }
}
