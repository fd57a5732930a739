//! From the template's nodes and the values of its variables to an [`ImageSpec`].

use std::collections::{BTreeMap, BTreeSet};

use super::expression::Scope;
use super::reader::{Places, Reader};
use super::shape::TEMPLATE;
use super::spec::ImageSpec;
use super::value;
use super::variables::{Assignment, BadAssignment, Declarations};
use crate::diag::{Diagnostic, Severity};
use crate::source::{Source, Span};
use crate::yaml::{Node, Tree};
use lint_rules as rules;

/// More values than any template has; aliases of aliases reach it in a few lines.
const MOST_VALUES: u64 = 100_000;

/// A template that was read as YAML, with its variables' names known and nothing evaluated.
#[derive(Debug)]
pub struct Template {
    source: Source,
    tree: Tree,
    declarations: Declarations,
    findings: Vec<Diagnostic>,
}

/// What comes from outside.
#[derive(Debug, Default)]
pub struct Inputs {
    /// In order of precedence: the last one wins.
    pub assignments: Vec<Assignment>,
    /// Values of sensitive variables found in the environment, by the variable's name.
    pub sensitive: Secrets,
    /// What `{{ timestamp }}` is in `snapshot.name`.
    pub timestamp: String,
}

/// Values that are not shown.
#[derive(Default)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// A template with its values.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub spec: ImageSpec,
    /// Where each value stands in the template.
    pub places: Places,
    pub warnings: Vec<Diagnostic>,
}

/// Why a template has no values.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Something from outside is refused.
    #[error(transparent)]
    Assignment(#[from] BadAssignment),
    /// The template itself is at fault.
    #[error("the template has {} fault(s)", .0.len())]
    Template(Vec<Diagnostic>),
}

impl Template {
    /// Reads which variables there are.
    pub fn new(source: Source, tree: Tree) -> Self {
        let mut findings = Vec::new();
        let declarations = tree
            .root()
            .and_then(|root| root.get("variables"))
            .filter(|node| !matches!(node.scalar(), Some(crate::yaml::Scalar::Null)))
            .map(|node| Declarations::read(&source, node, &mut findings))
            .unwrap_or_default();
        Self { source, tree, declarations, findings }
    }

    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The file's name, without directory and ending: the image's name.
    #[must_use]
    pub fn name(&self) -> &str {
        template_name(self.source.name())
    }

    /// The variables whose values may come from the environment.
    pub fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.declarations.sensitive()
    }

    /// The others: the environment says nothing of them.
    pub fn plain(&self) -> impl Iterator<Item = &str> {
        self.declarations.plain()
    }

    /// The variables that must be given.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.declarations.required()
    }

    /// Evaluates everything. All faults are reported, not only the first.
    pub fn resolve(&self, inputs: &Inputs) -> Result<Resolved, ResolveError> {
        self.declarations.check(&inputs.assignments)?;
        let mut findings = self.findings.clone();
        let Some(root) = self.tree.root() else {
            let fault = Diagnostic::new(
                &rules::TEMPLATE_WRONG_TYPE,
                "",
                Span::at(0),
                "expected a mapping, found an empty document",
            );
            return Err(ResolveError::Template(vec![fault.with_help("`mkimg init` writes an example")]));
        };
        // Before anything walks the tree: aliases of aliases make a few lines as large as one likes.
        let values = self.tree.expanded_len();
        if values > MOST_VALUES {
            let many = if values == u64::MAX { "more than can be counted".to_owned() } else { values.to_string() };
            let message = format!("the template expands to {many} values, and {MOST_VALUES} is the most");
            let place = first_alias(&self.tree).unwrap_or(Span::at(0));
            let fault = Diagnostic::new(&rules::TEMPLATE_TOO_LARGE, "", place, message);
            return Err(ResolveError::Template(vec![
                fault.with_help("write out what the aliases repeat, or leave it out"),
            ]));
        }
        let mut scope = Scope::new(&inputs.timestamp);
        self.declarations.resolve(&self.source, &inputs.sensitive.0, &inputs.assignments, &mut scope, &mut findings);
        let mut reader = Reader { source: &self.source, scope: &scope, findings, places: Places::new() };
        let value = reader.record(root, TEMPLATE, "");
        let Reader { mut findings, places, .. } = reader;
        let value = match value {
            Some(value) if !findings.iter().any(|finding| finding.severity == Severity::Error) => value,
            _ => return Err(ResolveError::Template(sorted(findings))),
        };
        let mut spec: ImageSpec = match value::typed(value) {
            Ok(spec) => spec,
            Err(error) => {
                findings.push(Diagnostic::new(
                    &rules::TEMPLATE_WRONG_TYPE,
                    "",
                    root.span(),
                    format!("the template cannot be read: {error}"),
                ));
                return Err(ResolveError::Template(findings));
            }
        };
        if spec.snapshot.name.is_empty() {
            spec.snapshot.name = format!("{}-{}", self.name(), inputs.timestamp);
        }
        let at = |path: &str| places.get(path).copied().unwrap_or(root.span());
        findings.extend(cross_checks(&spec, &at));
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(ResolveError::Template(sorted(findings)));
        }
        Ok(Resolved { spec, places, warnings: sorted(findings) })
    }
}

fn sorted(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    findings.sort_by_key(|finding| finding.span);
    findings
}

/// Where the first alias stands.
fn first_alias(tree: &Tree) -> Option<Span> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<Node<'_>> = tree.root().into_iter().collect();
    let mut first: Option<Span> = None;
    while let Some(node) = waiting.pop() {
        if node.used_at() != node.span() {
            first = Some(first.map_or(node.used_at(), |first| first.min(node.used_at())));
        }
        if seen.insert(node.id()) {
            waiting.extend(node.items().into_iter().flatten());
            waiting.extend(node.entries().into_iter().flatten().flat_map(|(key, value)| [key, value]));
        }
    }
    first
}

/// A file's name without directory and ending.
pub(super) fn template_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// What no single value shows.
fn cross_checks(spec: &ImageSpec, at: &dyn Fn(&str) -> Span) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut destinations: BTreeMap<&str, Span> = BTreeMap::new();
    for (index, artifact) in spec.artifacts.iter().enumerate() {
        let path = format!("artifacts.{index}");
        if artifact.to.is_none() && artifact.unpack.is_empty() {
            findings.push(
                Diagnostic::new(
                    &rules::TEMPLATE_MISSING_KEY,
                    &path,
                    at(&path),
                    "the artifact goes nowhere: `unpack` and `to` are missing",
                )
                .with_help("`unpack` names members of an archive, `to` is for a download that is the file itself"),
            );
        }
        if let (Some(_), false) = (&artifact.to, artifact.unpack.is_empty()) {
            let place = at(&format!("{path}.to"));
            findings.push(
                Diagnostic::new(
                    &rules::TEMPLATE_DUPLICATE_DESTINATION,
                    &path,
                    place,
                    "an artifact has `unpack` or `to`, not both",
                )
                .with_help("list it twice if both are meant"),
            );
        }
        let unpacked = artifact.unpack.iter().map(|(member, placed)| {
            let long = format!("{path}.unpack.{member}.to");
            let short = format!("{path}.unpack.{member}");
            (placed.to.as_str(), at(&long), short, at(&format!("{path}.unpack.{member}")))
        });
        let whole = artifact.to.as_deref().map(|to| {
            let place = at(&format!("{path}.to"));
            (to, place, format!("{path}.to"), place)
        });
        for (to, long, path, short) in unpacked.chain(whole) {
            // The short form has no place of its own for `to`.
            let place = if long.end <= short.end && long.start >= short.start { long } else { short };
            if let Some(first) = destinations.insert(to, place) {
                let mut fault = Diagnostic::new(
                    &rules::TEMPLATE_DUPLICATE_DESTINATION,
                    &path,
                    place,
                    format!("two artifacts go to {to}"),
                )
                .with_help("give one of them another place");
                fault.related.push((first, "first here".to_owned()));
                findings.push(fault);
            }
        }
    }
    if spec.cloud_config.contains_key("power_state") {
        let path = "cloud_config.power_state";
        findings.push(
            Diagnostic::new(
                &rules::TEMPLATE_CLOUD_CONFIG_CONFLICT,
                path,
                at(path),
                "`power_state` would power the droplet off in the middle of the bake",
            )
            .with_help("take it out: the bake powers the droplet off when everything has been checked"),
        );
    }
    for key in ["users", "write_files", "runcmd"] {
        let path = format!("cloud_config.{key}");
        if spec.cloud_config.get(key).is_some_and(|value| !value.is_sequence()) {
            let message = format!("mkimg writes `{key}` itself, as a list: this must be a list too");
            findings.push(
                Diagnostic::new(&rules::TEMPLATE_CLOUD_CONFIG_CONFLICT, &path, at(&path), message)
                    .with_help("its items are appended"),
            );
        }
    }
    for (index, user) in spec.users.iter().enumerate() {
        if user.system && user.create_home == Some(true) {
            let path = format!("users.{index}.create_home");
            findings.push(
                Diagnostic::new(
                    &rules::TEMPLATE_BAD_VALUE,
                    &path,
                    at(&path),
                    "cloud-init makes no home for a system user",
                )
                .with_help("leave `create_home` out, and make the directory in a script"),
            );
        }
    }
    let files = spec.files.iter().map(|files| &files.owner).enumerate();
    let attributes = spec.attributes.iter().map(|attributes| &attributes.owner).enumerate();
    let owners = files
        .map(|(index, owner)| (format!("files.{index}.owner"), owner))
        .chain(attributes.map(|(index, owner)| (format!("attributes.{index}.owner"), owner)))
        .filter_map(|(path, owner)| owner.as_ref().map(|owner| (path, owner)));
    for (path, owner) in owners {
        for name in owner.beyond_base().filter(|name| !known(spec, name)) {
            let message = format!("`{name}` is not among `users:`, and not every Debian or Ubuntu has it");
            let mut warning = Diagnostic::new(&rules::TEMPLATE_UNKNOWN_OWNER, &path, at(&path), message).with_help(
                format!("add `{{name: {name}, system: true}}` to `users:`, or give the file away in a script"),
            );
            warning.severity = Severity::Warning;
            findings.push(warning);
        }
    }
    findings
}

fn known(spec: &ImageSpec, name: &str) -> bool {
    let listed = spec.users.iter().any(|user| user.name == name || user.groups.iter().any(|group| group == name));
    // Users and groups that cloud_config makes are not looked into: any mention is enough.
    let mentioned =
        ["users", "groups"].iter().filter_map(|key| spec.cloud_config.get(*key)).any(|value| mentions(value, name));
    listed || mentioned
}

fn mentions(value: &value::Value, name: &str) -> bool {
    match value {
        value::Value::String(text) => text == name,
        value::Value::Sequence(items) => items.iter().any(|item| mentions(item, name)),
        value::Value::Mapping(mapping) => mapping.iter().any(|(key, item)| mentions(key, name) || mentions(item, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Resolved, ResolveError> {
        let source = Source::new("templates/image.yaml", text);
        let tree = crate::yaml::parse(source.text()).expect("YAML");
        Template::new(source, tree).resolve(&Inputs::default())
    }

    /// Ten lines that stand for ten thousand million values, wherever they are: in a part that anything may stand in, in
    /// a list of texts, in an unknown key.
    #[test]
    fn laughter_ends_in_a_clear_error() {
        for key in ["cloud_config: {x: *l9}", "packages: *l9", "unknown: *l9", "variables: {a: *l9}"] {
            let mut text = "snapshot: {name: x}\nl0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
            for level in 1..10 {
                let parts = vec![format!("*l{}", level - 1); 10].join(", ");
                text.push_str(&format!("l{level}: &l{level} [{parts}]\n"));
            }
            text.push_str(&format!("{key}\n"));
            let Err(ResolveError::Template(faults)) = resolve(&text) else { panic!("{key}: it is refused") };
            assert_eq!(faults.len(), 1, "{key}");
            assert_eq!(faults[0].code, "MK919");
            assert!(faults[0].message.ends_with("values, and 100000 is the most"), "{}", faults[0].message);
            assert_eq!(faults[0].span.map(|span| &text[span.start..span.end]), Some("*l0"));
        }
    }

    #[test]
    fn variables_that_repeat_variables_end_in_a_clear_error() {
        let mut text = "snapshot: {name: x}\nvariables:\n  v0: ha ha ha ha ha ha\n".to_owned();
        for level in 1..12 {
            text.push_str(&format!("  v{level}: \"{}\"\n", format!("{{{{ v{} }}}}", level - 1).repeat(10)));
        }
        let Err(ResolveError::Template(faults)) = resolve(&text) else { panic!("it is refused") };
        assert_eq!(faults[0].message, "the value would be longer than 1048576 bytes");
    }

    #[test]
    fn aliases_are_welcome() {
        let resolved =
            resolve("snapshot: {name: x}\npackages: &p [a, b]\ncloud_config: {x: *p, y: *p}\n").expect("fine");
        assert_eq!(resolved.spec.packages, ["a", "b"]);
    }
}
