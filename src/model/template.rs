//! Resolves a template: from YAML nodes and the values of variables to an [`ImageSpec`].

use std::collections::{BTreeMap, BTreeSet};

use diagnostics::source::{Source, Span};
use diagnostics::{Diagnostic, Rule, Severity};
use lint_rules as rules;
use yaml11::{Node, Tree};

use super::expression::Scope;
use super::reader::{Places, Reader};
use super::shape::TEMPLATE;
use super::spec::{ImageSpec, image_name, is_on_boot};
use super::value::{self, Value, is_null};
use super::variables::{Assignment, BadAssignment, Declarations};

/// Limit of a template's values, because aliases of aliases can expand a few lines to any number.
const MAX_VALUES: u64 = 100_000;

/// A parsed template. Its variables are declared but not evaluated.
#[derive(Debug)]
pub struct Template {
    source: Source,
    tree: Tree,
    declarations: Declarations,
    findings: Vec<Diagnostic>,
}

/// The values for a template.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Values that the user gives; the last one wins.
    pub assignments: Vec<Assignment>,
    /// Values of sensitive variables from the environment, by the variable's name.
    pub sensitive: Secrets,
    /// The value of `{{ timestamp }}` in `snapshot.name`.
    pub timestamp: String,
}

/// Values that `Debug` does not show.
#[derive(Default)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Debug, Clone)]
pub struct Resolved {
    pub spec: ImageSpec,
    /// The positions of the values in the template.
    pub places: Places,
    pub warnings: Vec<Diagnostic>,
}

/// Why a template cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A value of the user is refused.
    #[error(transparent)]
    Assignment(#[from] BadAssignment),
    #[error("the template has {} fault(s)", .0.len())]
    Template(Vec<Diagnostic>),
}

impl Template {
    /// Reads the declarations of variables.
    pub fn new(source: Source, tree: Tree) -> Self {
        let mut findings = Vec::new();
        let declarations = tree
            .root()
            .and_then(|root| root.get("variables"))
            .filter(|node| !is_null(*node))
            .map(|node| Declarations::read(&source, node, &mut findings))
            .unwrap_or_default();
        Self { source, tree, declarations, findings }
    }

    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the image's name: the file's name without directory and extension.
    #[must_use]
    pub fn name(&self) -> &str {
        image_name(self.source.name())
    }

    /// Returns the sensitive variables, whose values may come from the environment.
    pub fn sensitive(&self) -> impl Iterator<Item = &str> {
        self.declarations.sensitive()
    }

    /// Returns the other variables.
    pub fn plain(&self) -> impl Iterator<Item = &str> {
        self.declarations.plain()
    }

    /// Returns the variables without a value in the template.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.declarations.required()
    }

    /// Evaluates the template.
    ///
    /// # Errors
    ///
    /// Returns all errors, not only the first.
    pub fn resolve(&self, inputs: &Inputs) -> Result<Resolved, ResolveError> {
        self.declarations.check(&inputs.assignments)?;
        let mut findings = self.findings.clone();
        let fail = |rule: &'static Rule, span: Span, message: String, help: &str| {
            Err(ResolveError::Template(vec![Diagnostic::new(rule, "", span, message).with_help(help)]))
        };
        let Some(root) = self.tree.root() else {
            let message = "expected a mapping, found an empty document".to_owned();
            return fail(&rules::TEMPLATE_WRONG_TYPE, Span::at(0), message, "`mkimg init` writes an example");
        };
        let values = self.tree.expanded_len();
        if values > MAX_VALUES {
            let count =
                if values == u64::MAX { "too many values to count".to_owned() } else { format!("{values} values") };
            let message = format!("the template expands to {count}; the limit is {MAX_VALUES}");
            let place = first_alias(&self.tree).unwrap_or(Span::at(0));
            return fail(&rules::TEMPLATE_TOO_LARGE, place, message, "use fewer aliases");
        }
        let mut scope = Scope::new(&inputs.timestamp);
        self.declarations.resolve(&self.source, &inputs.sensitive.0, &inputs.assignments, &mut scope, &mut findings);
        let mut reader = Reader { source: &self.source, scope: &scope, findings, places: Places::new() };
        let value = reader.read_record(root, TEMPLATE, "");
        let Reader { mut findings, places, .. } = reader;
        let value = match value {
            Some(value) if !has_error(&findings) => value,
            _ => return Err(ResolveError::Template(sorted(findings))),
        };
        let mut spec: ImageSpec = match value::deserialize(value) {
            Ok(spec) => spec,
            Err(error) => {
                let message = format!("the template cannot be read: {error}");
                return fail(&rules::TEMPLATE_WRONG_TYPE, root.span(), message, "please report this");
            }
        };
        if spec.snapshot.name.is_empty() {
            spec.snapshot.name = format!("{}-{}", self.name(), inputs.timestamp);
        }
        let mut checker = Checker { spec: &spec, places: &places, root: root.span(), findings };
        checker.check();
        findings = checker.findings;
        if has_error(&findings) {
            return Err(ResolveError::Template(sorted(findings)));
        }
        Ok(Resolved { spec, places, warnings: sorted(findings) })
    }
}

fn has_error(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

fn sorted(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    findings.sort_by_key(|finding| finding.span);
    findings
}

/// Returns the position of the first alias.
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

/// Checks that involve several values.
struct Checker<'a> {
    spec: &'a ImageSpec,
    places: &'a Places,
    root: Span,
    findings: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn check(&mut self) {
        self.check_artifacts();
        self.check_cloud_config();
        for (index, user) in self.spec.users.iter().enumerate() {
            if user.system && user.create_home == Some(true) {
                self.add(
                    &rules::TEMPLATE_BAD_VALUE,
                    format!("users.{index}.create_home"),
                    "cloud-init creates no home directory for a system user",
                    "remove `create_home`, and create the directory in a script",
                );
            }
        }
        self.check_owners();
    }

    fn place(&self, path: &str) -> Span {
        self.places.get(path).copied().unwrap_or(self.root)
    }

    fn add(&mut self, rule: &'static Rule, path: String, message: impl Into<String>, help: impl Into<String>) {
        let place = self.place(&path);
        self.findings.push(Diagnostic::new(rule, path, place, message).with_help(help.into()));
    }

    fn check_artifacts(&mut self) {
        let mut destinations: BTreeMap<&str, Span> = BTreeMap::new();
        for (index, artifact) in self.spec.artifacts.iter().enumerate() {
            let path = format!("artifacts.{index}");
            if artifact.to.is_none() && artifact.unpack.is_empty() {
                self.add(
                    &rules::TEMPLATE_MISSING_KEY,
                    path.clone(),
                    "the artifact has no destination: `unpack` and `to` are missing",
                    "`unpack` names members of an archive; `to` is for a download that is the file itself",
                );
            }
            if artifact.to.is_some() && !artifact.unpack.is_empty() {
                let message = "an artifact has `unpack` or `to`, not both";
                let place = self.place(&format!("{path}.to"));
                let rule = &rules::TEMPLATE_DUPLICATE_DESTINATION;
                let fault = Diagnostic::new(rule, &*path, place, message).with_help("list it twice if you need both");
                self.findings.push(fault);
            }
            let members = artifact.unpack.iter().map(|(member, placed)| {
                let path = format!("{path}.unpack.{member}");
                // The short form has no separate position for `to`.
                let short = self.place(&path);
                let long = self.places.get(&format!("{path}.to")).copied().unwrap_or(short);
                (placed.to.as_str(), path, long)
            });
            let download = artifact.to.as_deref().map(|to| {
                let path = format!("{path}.to");
                let place = self.place(&path);
                (to, path, place)
            });
            let targets: Vec<_> = members.chain(download).collect();
            for (to, path, place) in targets {
                if let Some(first) = destinations.insert(to, place) {
                    let message = format!("two artifacts have the destination {to}");
                    let mut fault = Diagnostic::new(&rules::TEMPLATE_DUPLICATE_DESTINATION, path, place, message)
                        .with_help("change one of them");
                    fault.related.push((first, "first here".to_owned()));
                    self.findings.push(fault);
                }
            }
        }
    }

    fn check_cloud_config(&mut self) {
        let spec = self.spec;
        if spec.cloud_config.contains_key("power_state") {
            self.add(
                &rules::TEMPLATE_CLOUD_CONFIG_CONFLICT,
                "cloud_config.power_state".to_owned(),
                "`power_state` would power off the droplet during the bake",
                "remove it: the bake powers off the droplet after all checks",
            );
        }
        for key in ["users", "write_files", "runcmd"] {
            if spec.cloud_config.get(key).is_some_and(|value| !value.is_sequence()) {
                self.add(
                    &rules::TEMPLATE_CLOUD_CONFIG_CONFLICT,
                    format!("cloud_config.{key}"),
                    format!("mkimg writes `{key}` itself, as a list: this must be a list too"),
                    "its items are appended",
                );
            }
        }
    }

    fn check_owners(&mut self) {
        let spec = self.spec;
        // What the runner puts into its place may belong to a user of a package or a script.
        let files = spec.files.iter().enumerate().filter(|(_, files)| files.after.is_none());
        let files = files.map(|(index, files)| (index, &files.owner));
        let attributes = spec.attributes.iter().enumerate().filter(|(_, attributes)| !is_on_boot(&attributes.path));
        let attributes = attributes.map(|(index, attributes)| (index, &attributes.owner));
        let owners = files
            .map(|(index, owner)| (format!("files.{index}.owner"), owner))
            .chain(attributes.map(|(index, owner)| (format!("attributes.{index}.owner"), owner)));
        // An image of one's own may have any user.
        let image = spec.droplet.as_ref().map(|droplet| droplet.image.as_str());
        let is_distribution = image.is_some_and(|image| image.starts_with("debian-") || image.starts_with("ubuntu-"));
        for (path, owner) in owners {
            let Some(owner) = owner else { continue };
            for name in owner.names_beyond_base_system().filter(|name| !is_known_name(spec, name)) {
                self.add(
                    &rules::TEMPLATE_UNKNOWN_OWNER,
                    path.clone(),
                    format!("`{name}` is not in `users:`, and Debian and Ubuntu do not have it"),
                    format!("add `{{name: {name}, system: true}}` to `users:`, or change the owner in a script"),
                );
                if let Some(found) = self.findings.last_mut().filter(|_| !is_distribution) {
                    found.severity = Severity::Warning;
                }
            }
        }
    }
}

fn is_known_name(spec: &ImageSpec, name: &str) -> bool {
    let is_listed = spec.users.iter().any(|user| user.name == name || user.groups.iter().any(|group| group == name));
    // Any mention in cloud_config's users and groups counts.
    let keys = ["users", "groups"].iter().filter_map(|key| spec.cloud_config.get(*key));
    is_listed || keys.into_iter().any(|value| mentions(value, name))
}

fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Sequence(items) => items.iter().any(|item| mentions(item, name)),
        Value::Mapping(mapping) => mapping.iter().any(|(key, item)| mentions(key, name) || mentions(item, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Resolved, ResolveError> {
        let source = Source::new("templates/image.yaml", text);
        let tree = yaml11::parse(source.text()).expect("YAML");
        Template::new(source, tree).resolve(&Inputs::default())
    }

    /// Ten lines that expand to ten billion values, in any part of the template.
    #[test]
    fn alias_bombs_are_refused() {
        for key in ["cloud_config: {x: *l9}", "packages: *l9", "unknown: *l9", "variables: {a: *l9}"] {
            let mut text = "snapshot: {name: x}\nl0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
            for level in 1..10 {
                let parts = vec![format!("*l{}", level - 1); 10].join(", ");
                text.push_str(&format!("l{level}: &l{level} [{parts}]\n"));
            }
            text.push_str(&format!("{key}\n"));
            let Err(ResolveError::Template(faults)) = resolve(&text) else { panic!("{key}: not refused") };
            assert_eq!(faults.len(), 1, "{key}");
            assert_eq!(faults[0].rule.code, "MK919");
            assert!(faults[0].message.ends_with("; the limit is 100000"), "{}", faults[0].message);
            assert_eq!(faults[0].span.map(|span| &text[span.start..span.end]), Some("*l0"));
        }
    }

    #[test]
    fn variables_that_repeat_variables_are_refused() {
        let mut text = "snapshot: {name: x}\nvariables:\n  v0: ha ha ha ha ha ha\n".to_owned();
        for level in 1..12 {
            text.push_str(&format!("  v{level}: \"{}\"\n", format!("{{{{ v{} }}}}", level - 1).repeat(10)));
        }
        let Err(ResolveError::Template(faults)) = resolve(&text) else { panic!("not refused") };
        assert_eq!(faults[0].message, "the value would be longer than 1048576 bytes");
    }

    #[test]
    fn what_is_made_from_a_secret_is_not_shown() {
        let text =
            "variables: {s: {sensitive: true}, made: \"a {{ s }}\"}\nsnapshot: {name: x}\npackages: [\"{{ made }}\"]\n";
        let sensitive = Secrets([("s".to_owned(), "hunter 2!".to_owned())].into());
        let template = Template::new(Source::new("t", text), yaml11::parse(text).expect("YAML"));
        let found = template.resolve(&Inputs { sensitive, ..Inputs::default() });
        let Err(ResolveError::Template(faults)) = found else { panic!("not refused") };
        assert!(!format!("{faults:?}").contains("hunter"), "{faults:?}");
    }

    /// A part of a template, and the codes of its errors.
    #[test]
    fn each_value_has_its_rules() {
        for (text, expected) in [
            ("upgrade: Yes", &[][..]),
            ("upgrade: maybe", &["MK915"]),
            ("upgrade: ''", &["MK915"]),
            ("packages: [curl, 'g++', 'libc6:arm64', 'a~b']", &[]),
            ("packages: ['-y']", &["MK913"]),
            ("packages: ['a b']", &["MK913"]),
            ("packages: curl", &["MK902"]),
            ("packages: null", &[]),
            ("users: [{name: Ada}]", &["MK913"]),
            ("users: [{name: _a-1}, b]", &[]),
            ("users: [{shell: /bin/sh}]", &["MK903"]),
            ("users: [{name: a, nome: b}]", &["MK901"]),
            ("users: [{name: a, name: b}]", &["MK917"]),
            ("users: [{name: a, system: true, create_home: true}]", &["MK915"]),
            ("users: [{name: a, system: true, create_home: false}, {name: b, create_home: true}]", &[]),
            ("users: [{name: a, home: srv}]", &["MK914"]),
            ("files: [{source: ../a, to: /a}]", &["MK915"]),
            ("files: [{source: /a, to: /a}]", &["MK915"]),
            ("files: [{source: a/../b, to: /a}]", &["MK915"]),
            ("files: [{source: ./a..b, to: /a/}]", &[]),
            ("files: [{source: a, to: a}]", &["MK914"]),
            ("files: [{source: a, to: /a//b}]", &["MK914"]),
            ("files: [{source: a, to: /a/./b}]", &["MK914"]),
            ("files: [{source: a, to: /proc/a}]", &["MK914"]),
            ("files: [{source: a, to: /sys}]", &["MK914"]),
            ("files: [{source: a, to: /dev/a}]", &["MK914"]),
            ("files: [{source: a, to: /run/a}]", &["MK914"]),
            ("files: [{source: a, to: /tmp/a}]", &["MK914"]),
            ("files: [{source: a, to: /var/run/a}]", &["MK914"]),
            ("files: [{source: a, to: /var/running}, {source: a, to: /srv/tmp}]", &[]),
            ("files: [{source: a, to: /a, owner: 'a:b:c'}]", &["MK909"]),
            ("files: [{source: a, to: /a, owner: game}]", &["MK918"]),
            ("files: [{source: a, to: /a, owner: 'root:web'}]\nusers: [{name: a, groups: [web]}]", &[]),
            ("files: [{source: a, to: /a, owner: game}]\ncloud_config: {users: [{name: game}]}", &[]),
            ("files: [{source: a, to: /a, owner: 'root:web'}]\ncloud_config: {groups: [{web: [root]}]}", &[]),
            ("files: [{source: a, to: /a, owner: 'root:web'}]\ncloud_config: {groups: [other]}", &["MK918"]),
            ("attributes: [{path: /a, owner: game}]", &["MK918"]),
            ("attributes: [{path: '/a/[', mode: '0644'}]", &["MK915"]),
            ("attributes: [{path: /a, mode: '0999'}]", &["MK910"]),
            ("artifacts: [{url: 'ftp://a/b', to: /b}]", &["MK911"]),
            ("artifacts: [{url: 'https://u:p@a/b', to: /b}]", &["MK911"]),
            ("artifacts: [{url: 'https:///b', to: /b}]", &["MK911"]),
            ("artifacts: [{url: 'https://:80/b', to: /b}]", &["MK911"]),
            ("artifacts: [{url: 'https://a/b c', to: /b}]", &["MK911"]),
            ("artifacts: [{url: 'https://a/b@c', to: /b}]", &[]),
            ("artifacts: [{url: 'https://a/b'}]", &["MK903"]),
            ("artifacts: [{url: 'https://a/b', to: /b, unpack: {c: /c}}]", &["MK912"]),
            ("artifacts: [{url: 'https://a/b', to: /c}, {url: 'https://a/d', unpack: {c: /c}}]", &["MK912"]),
            ("time_limits: {script: 24h}", &[]),
            ("time_limits: {script: 1s}", &[]),
            ("time_limits: {script: 24h1s}", &["MK915"]),
            ("time_limits: {script: 0s}", &["MK915"]),
            ("time_limits: {script: 90}", &["MK915"]),
            ("verify: {ports: [1, 65535]}", &[]),
            ("verify: {ports: [0]}", &["MK915"]),
            ("verify: {ports: [65536]}", &["MK915"]),
            ("environment: null", &[]),
            ("environment: [a]", &["MK902"]),
            ("users: null\nfiles: null\nartifacts: null\ncloud_config: null\nvariables: null", &[]),
            ("packages: [\"a\\0b\"]", &["MK915"]),
            ("environment: {A: \"a\\0b\"}", &["MK915"]),
            ("files: [{source: a, to: \"/a\\u0007\"}]", &["MK914"]),
            ("cloud_config: {a: 1.5}", &["MK916"]),
            ("cloud_config: {a: !!binary YQ==}", &["MK916"]),
            ("cloud_config: {a: !!set {b}}", &["MK916"]),
            ("cloud_config: {1: a}", &["MK916"]),
            ("cloud_config: {a: [1, true, null, 'x']}", &[]),
            ("cloud_config: {power_state: {mode: poweroff}}", &["MK916"]),
            ("cloud_config: {runcmd: {a: b}}", &["MK916"]),
            ("cloud_config: {write_files: text}", &["MK916"]),
            ("cloud_config: {users: alice}", &["MK916"]),
            ("cloud_config: {bootcmd: {a: b}}", &[]),
            ("droplet: {image: a, region: b}", &["MK903"]),
            ("droplet: {image: a, region: b, size: c, name: a-}", &["MK913"]),
            ("droplet: {image: a, region: b, size: c, tags: ['a b']}", &["MK913"]),
            ("snapshot: {name: \"a\\nb\"}", &["MK915"]),
            ("variables: {timestamp: a}", &["MK913"]),
            ("variables: {a-b: c}", &["MK913"]),
            ("environment: {a-b: c}", &["MK913"]),
            ("environment: {A: \"{{ nothing }}\"}", &["MK904"]),
            ("environment: {A: \"{{ timestamp }}\"}", &["MK908"]),
            ("variables: {a: \"b {{ timestamp }}\"}\nenvironment: {A: \"{{ a }}\"}", &["MK908"]),
            ("variables: {a: \"{{ b }}\", b: \"{{ a }}\"}", &["MK906"]),
            ("variables: {a:}\nenvironment: {A: \"{{ a }}\"}", &["MK905"]),
            ("scripts: [a, b]\ncleanup: [c]", &["MK902"]),
        ] {
            let found = match resolve(text) {
                Ok(resolved) => resolved.warnings,
                Err(ResolveError::Template(faults)) => faults,
                Err(error) => panic!("{text}: {error}"),
            };
            let codes: Vec<&str> = found.iter().map(|found| found.rule.code).collect();
            assert_eq!(codes, expected, "{text}: {found:#?}");
        }
    }

    #[test]
    fn aliases_are_allowed() {
        let resolved =
            resolve("snapshot: {name: x}\npackages: &p [a, b]\ncloud_config: {x: *p, y: *p}\n").expect("fine");
        assert_eq!(resolved.spec.packages, ["a", "b"]);
    }
}
