//! What runs at boot, in the form that the checks of this directory read.

use std::collections::BTreeMap;

use crate::cloud_config::{CloudConfig, FileEntry, normalize_path};
use crate::places::finding;
use crate::rules::Rule;
use crate::shell::SimpleCommand;
use crate::value;
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};
use yaml11::Node;

/// Maximum number of items that are each compared with all others.
pub(super) const MAX_COMPARED: usize = 300;

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// In every boot, before nearly everything else.
    Bootcmd,
    /// At the end of the first boot.
    Runcmd,
    /// A user-data script, or a script that `write_files` puts into one of cloud-init's
    /// directories: at the end of the first boot or of every boot.
    Script,
}

/// An item of `bootcmd` or `runcmd`, or a script.
#[derive(Debug)]
pub(super) struct BootStep<'t> {
    pub(super) stage: Stage,
    pub(super) path: String,
    pub(super) node: Option<Node<'t>>,
    pub(super) commands: Vec<SimpleCommand<'t>>,
}

impl BootStep<'_> {
    pub(super) fn finding(
        &self,
        source: &Source,
        rule: &'static Rule,
        command: &SimpleCommand<'_>,
        message: String,
        help: &str,
    ) -> Diagnostic {
        finding(rule, self.path.clone(), self.place(source, command.written), message, Some(help.to_string()))
    }

    /// The span of a part of the step.
    pub(super) fn place(&self, source: &Source, written: &str) -> Span {
        let Some(node) = self.node else {
            let at = source.text().find(written).unwrap_or_default();
            return Span::new(at, at + written.len());
        };
        place_in(source, node, written)
    }
}

/// The span of a part of a text; of the whole text if the document contains it in another form.
pub(super) fn place_in(source: &Source, node: Node<'_>, written: &str) -> Span {
    let node_span = node.used_at();
    let shown = source.slice(node.span());
    match shown.find(written).filter(|_| !written.is_empty() && node_span == node.span()) {
        Some(at) => Span::new(node_span.start + at, node_span.start + at + written.len()),
        None => node_span,
    }
}

pub(super) struct Boot<'d, 't> {
    pub(super) document: &'d CloudConfig<'t>,
    pub(super) steps: Vec<BootStep<'t>>,
    /// The package names under `packages`.
    pub(super) packages: Vec<&'t str>,
    /// The index in `write_files` by path, for entries with a path.
    pub(super) paths: BTreeMap<&'d str, usize>,
}

impl<'t> Boot<'_, 't> {
    pub(super) fn file(&self, path: &str) -> Option<&FileEntry<'t>> {
        self.document.files().get(*self.paths.get(&*normalize_path(path))?)
    }

    pub(super) fn source(&self) -> &Source {
        self.document.source
    }

    pub(super) fn commands(&self, stage: Stage) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        let steps = self.steps.iter().filter(move |step| step.stage == stage);
        steps.flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }

    pub(super) fn all_commands(&self) -> impl Iterator<Item = (&BootStep<'t>, &SimpleCommand<'t>)> {
        self.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }
}

/// The package names of an item of `packages`, also those of `[name, version]` and under `apt:` and `snap:`.
pub(crate) fn package_names(item: Node<'_>) -> Vec<&str> {
    fn name(part: Node<'_>) -> Option<&str> {
        part.as_str().or_else(|| part.items()?.next()?.as_str())
    }
    let listed = item.entries().into_iter().flatten().flat_map(|(_, list)| list.items().into_iter().flatten());
    name(item).into_iter().chain(listed.filter_map(name)).collect()
}

/// The string under a key of a mapping.
pub(super) fn text<'t>(document: &CloudConfig<'t>, node: Node<'t>, key: &str) -> Option<&'t str> {
    value::get(document.tree, node, key)?.as_str()
}

pub(super) fn is_true(document: &CloudConfig<'_>, node: Node<'_>, key: &str) -> bool {
    matches!(value::get(document.tree, node, key).and_then(Node::scalar), Some(yaml11::Scalar::Bool(true)))
}
