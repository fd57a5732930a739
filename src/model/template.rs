//! From the template's nodes and the values of its variables to an [`ImageSpec`].

use std::collections::BTreeMap;

use super::expression::Scope;
use super::findings::{
    BAD_CLOUD_CONFIG, BAD_VALUE, DUPLICATE_DESTINATION, MISSING_KEY, UNKNOWN_OWNER, WRONG_TYPE, WithHelp, finding,
};
use super::reader::{Places, Reader};
use super::shape::TEMPLATE;
use super::spec::ImageSpec;
use super::value;
use super::variables::{Assignment, BadAssignment, Declarations};
use crate::diag::{Diagnostic, Severity};
use crate::source::{Source, Span};
use crate::yaml::Tree;

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
        let file = self.source.name().rsplit('/').next().unwrap_or_default();
        file.rsplit_once('.').map_or(file, |(stem, _)| stem)
    }

    /// The variables whose values may come from the environment.
    pub fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.declarations.sensitive()
    }

    /// Evaluates everything. All faults are reported, not only the first.
    pub fn resolve(&self, inputs: &Inputs) -> Result<Resolved, ResolveError> {
        self.declarations.check(&inputs.assignments)?;
        let mut findings = self.findings.clone();
        let Some(root) = self.tree.root() else {
            let fault = finding(WRONG_TYPE, "", Span::at(0), "expected a mapping, found an empty document");
            return Err(ResolveError::Template(vec![fault.help("`mkimg init` writes an example")]));
        };
        let mut scope = Scope::new(&inputs.timestamp);
        self.declarations.resolve(&self.source, &inputs.sensitive.0, &inputs.assignments, &mut scope, &mut findings);
        let mut reader = Reader { source: &self.source, scope: &scope, findings, places: Places::new(), values: 0 };
        let value = reader.record(root, TEMPLATE, "");
        let Reader { mut findings, places, .. } = reader;
        let value = match value {
            Some(value) if !findings.iter().any(|finding| finding.severity == Severity::Error) => value,
            _ => return Err(ResolveError::Template(sorted(findings))),
        };
        let mut spec: ImageSpec = match value::typed(value) {
            Ok(spec) => spec,
            Err(error) => {
                findings.push(finding(WRONG_TYPE, "", root.span(), format!("the template cannot be read: {error}")));
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

/// What no single value shows.
fn cross_checks(spec: &ImageSpec, at: &dyn Fn(&str) -> Span) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut destinations: BTreeMap<&str, Span> = BTreeMap::new();
    for (index, artifact) in spec.artifacts.iter().enumerate() {
        let path = format!("artifacts.{index}");
        if artifact.to.is_none() && artifact.unpack.is_empty() {
            findings.push(
                finding(MISSING_KEY, &path, at(&path), "the artifact goes nowhere: `unpack` and `to` are missing")
                    .help("`unpack` names members of an archive, `to` is for a download that is the file itself"),
            );
        }
        if let (Some(_), false) = (&artifact.to, artifact.unpack.is_empty()) {
            let place = at(&format!("{path}.to"));
            findings.push(
                finding(DUPLICATE_DESTINATION, &path, place, "an artifact has `unpack` or `to`, not both")
                    .help("list it twice if both are meant"),
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
                let mut fault = finding(DUPLICATE_DESTINATION, &path, place, format!("two artifacts go to {to}"))
                    .help("give one of them another place");
                fault.related.push((first, "first here".to_owned()));
                findings.push(fault);
            }
        }
    }
    if spec.cloud_config.contains_key("power_state") {
        let path = "cloud_config.power_state";
        findings.push(
            finding(
                BAD_CLOUD_CONFIG,
                path,
                at(path),
                "`power_state` would power the droplet off in the middle of the bake",
            )
            .help("take it out: the bake powers the droplet off when everything has been checked"),
        );
    }
    for key in ["users", "write_files", "runcmd"] {
        let path = format!("cloud_config.{key}");
        if spec.cloud_config.get(key).is_some_and(|value| !value.is_sequence()) {
            let message = format!("mkimg writes `{key}` itself, as a list: this must be a list too");
            findings.push(finding(BAD_CLOUD_CONFIG, &path, at(&path), message).help("its items are appended"));
        }
    }
    for (index, user) in spec.users.iter().enumerate() {
        if user.system && user.create_home == Some(true) {
            let path = format!("users.{index}.create_home");
            findings.push(
                finding(BAD_VALUE, &path, at(&path), "cloud-init makes no home for a system user")
                    .help("leave `create_home` out, and make the directory in a script"),
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
            let mut warning = finding(UNKNOWN_OWNER, &path, at(&path), message)
                .help(format!("add `{{name: {name}, system: true}}` to `users:`, or give the file away in a script"));
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
