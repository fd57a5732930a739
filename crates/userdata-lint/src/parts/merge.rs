//! How cloud-init merges the cloud-configs of several parts: without merge settings, a key of a
//! later part replaces the same key of the earlier ones.

use super::RawPart;
use crate::boot;
use crate::cloud_config::CloudConfig;
use crate::header::Kind;
use crate::modules;
use crate::places::{Places, finding};
use crate::rules;
use crate::template::{self, Rendered};
use crate::value;
use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, NodeKind, Tree};

/// How many parts are compared.
const MAX_COMPARED: usize = 50;
/// Maximum number of items of a list that are compared.
const MAX_ITEMS: usize = 1_000;
const MAX_DEPTH: usize = 16;

/// A finding about one part, with spans in it, and the place of the other part in the document.
pub(crate) struct Replaced {
    pub part: usize,
    pub finding: Diagnostic,
    pub related: (Span, String),
}

/// A cloud-config among the parts.
struct Config {
    part: usize,
    tree: Tree,
    /// From the parsed text to the text of the part.
    rendered: Option<Places>,
    merges: bool,
}

impl Config {
    fn new(part: usize, raw: &RawPart) -> Option<Self> {
        if raw.is_conditional {
            return None;
        }
        let (tree, rendered) = match raw.kind? {
            Kind::CloudConfig => (yaml11::parse(&raw.text).ok()?, None),
            Kind::JinjaTemplate => match template::render(&raw.text) {
                Rendered::Text { text, places, .. } => (yaml11::parse(&text).ok()?, Some(places)),
                _ => return None,
            },
            _ => return None,
        };
        let get = |key: &str| value::get(&tree, tree.root()?, key);
        if get("launch-index").is_some() {
            return None;
        }
        let merges = raw.has_merge_type || get("merge_how").is_some() || get("merge_type").is_some();
        Some(Self { part, tree, rendered, merges })
    }

    fn keys(&self) -> impl Iterator<Item = (&str, Node<'_>, Node<'_>)> {
        let entries = self.tree.root().map(|root| value::entries(&self.tree, root));
        entries.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str()?, key, value)))
    }

    fn document<'t>(&'t self, source: &'t Source) -> Option<CloudConfig<'t>> {
        Some(CloudConfig::new(source, &self.tree, self.tree.root()?))
    }

    fn place(&self, key: Node<'_>) -> Span {
        self.rendered.as_ref().map_or_else(|| key.used_at(), |places| places.span(key.used_at()))
    }
}

/// Reports keys that replace those of an earlier part.
pub(crate) fn check(raw: &[RawPart]) -> Vec<Replaced> {
    let mut out = Vec::new();
    let holds_config = |raw: &&RawPart| matches!(raw.kind, Some(Kind::CloudConfig | Kind::JinjaTemplate));
    if raw.iter().filter(holds_config).count() < 2 {
        return out;
    }
    let configs: Vec<_> =
        raw.iter().take(MAX_COMPARED).enumerate().filter_map(|(part, raw)| Config::new(part, raw)).collect();
    for (index, later) in configs.iter().enumerate().filter(|(_, later)| !later.merges) {
        for (name, key, value) in later.keys().filter(|(name, ..)| modules::top_level(name).is_some()) {
            let earlier = configs[..index].iter().rev().find_map(|earlier| {
                let (_, key, value) = earlier.keys().find(|(known, ..)| *known == name)?;
                Some((earlier, key, value))
            });
            let Some((earlier, old_key, old)) = earlier else { continue };
            if !is_lost(&earlier.tree, old, &later.tree, value, 0) {
                continue;
            }
            let number = earlier.part + 1;
            let message = format!("{} replaces the one of part {number}, which has no effect", quoted(name));
            let help = "put both into one part, or add to this part: `merge_how: [{name: list, settings: [append]}, \
                        {name: dict, settings: [no_replace, recurse_list]}]`";
            let finding =
                finding(&rules::REPLACED_BY_PART, name.to_owned(), later.place(key), message, Some(help.into()));
            let place = raw[earlier.part].places.span(earlier.place(old_key));
            out.push(Replaced { part: later.part, finding, related: (place, "has no effect".into()) });
        }
    }
    check_module_lists(raw, &configs, &mut out);
    out
}

/// Reports lists of modules that lack what another part needs.
fn check_module_lists(raw: &[RawPart], configs: &[Config], out: &mut Vec<Replaced>) {
    if configs.iter().any(|config| config.merges) {
        return;
    }
    let source = Source::new("", "");
    for list in configs {
        for other in configs.iter().filter(|other| other.part != list.part) {
            let (Some(of_list), Some(of_other)) = (list.document(&source), other.document(&source)) else { continue };
            let Some((name, stage, lost)) = boot::lost_in_part(&of_list, &of_other) else { continue };
            let lost = lost.split('[').next().unwrap_or(lost);
            let place = |config: &Config, name: &str| {
                config.keys().find(|(known, ..)| *known == name).map(|(_, key, _)| config.place(key))
            };
            let (Some(span), Some(at)) = (place(list, name), place(other, lost)) else { continue };
            let number = other.part + 1;
            let message = format!(
                "the list replaces the whole {stage} stage, so {} of part {number} has no effect",
                quoted(lost)
            );
            let help = "remove the list, or add every module that the parts need";
            let finding = finding(&rules::REPLACED_MODULE_LIST, name.to_owned(), span, message, Some(help.into()));
            let related = (raw[other.part].places.span(at), "has no effect".to_owned());
            out.push(Replaced { part: list.part, finding, related });
            break;
        }
    }
}

/// Whether a list, here or below, loses items when a value replaces another one.
fn is_lost(old_tree: &Tree, old: Node<'_>, new_tree: &Tree, new: Node<'_>, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match (old.kind(), new.kind()) {
        (NodeKind::Sequence(olds), NodeKind::Sequence(news)) if !news.is_empty() => {
            let kept: std::collections::HashSet<_> =
                news.iter().take(MAX_ITEMS).map(|item| identity(new_tree, new_tree.node(*item), 0)).collect();
            news.len() <= MAX_ITEMS
                && olds.iter().any(|item| !kept.contains(&identity(old_tree, old_tree.node(*item), 0)))
        }
        (NodeKind::Mapping(_), NodeKind::Mapping(_)) => value::entries(old_tree, old).any(|(key, value)| {
            let Some(name) = key.as_str() else { return false };
            match value::get(new_tree, new, name) {
                Some(kept) => is_lost(old_tree, value, new_tree, kept, depth + 1),
                None => {
                    matches!(value.kind(), NodeKind::Sequence(items) if !items.is_empty())
                        || value.entries().is_some_and(|entries| entries.len() > 0)
                }
            }
        }),
        _ => false,
    }
}

/// What a value is compared by: a user by its name, a file by its path, anything else as a whole.
fn identity(tree: &Tree, node: Node<'_>, depth: usize) -> String {
    if depth == 0 {
        let named = ["name", "path"].iter().find_map(|key| value::get(tree, node, key)?.as_str());
        if let Some(name) = named {
            return format!("named {name}");
        }
    }
    match node.kind() {
        _ if depth > MAX_DEPTH => String::new(),
        NodeKind::Scalar(_) => value::key_text(node),
        NodeKind::Sequence(items) => {
            let items = items.iter().map(|item| identity(tree, tree.node(*item), depth + 1));
            items.collect::<Vec<_>>().join("\n")
        }
        _ => {
            let entries = value::entries(tree, node);
            let entries =
                entries.map(|(key, value)| [value::key_text(key), identity(tree, value, depth + 1)].join(": "));
            entries.collect::<Vec<_>>().join("\n")
        }
    }
}
