//! The plan: everything that an image consists of, resolved and typed.

use std::collections::BTreeMap;

use super::lock::Lock;
use super::spec::{
    Allowance, Attributes, Droplet, ImageSpec, Mode, Owner, Snapshot, TimeLimits, User, Verify, image_name, is_on_boot,
};
use super::value::Mapping;

/// Everything that an image consists of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The template's name, without directory and ending.
    pub name: String,
    /// The template's path, relative to the project: the same on every machine.
    pub template: String,
    pub droplet: Option<Droplet>,
    pub users: Vec<User>,
    pub upgrade: bool,
    pub packages: Vec<String>,
    pub artifacts: Vec<Artifact>,
    /// Sorted by path.
    pub files: Vec<PlannedFile>,
    pub environment: BTreeMap<String, String>,
    pub scripts: Vec<Script>,
    pub cleanup: Option<Script>,
    pub check: Option<Script>,
    pub time_limits: TimeLimits,
    pub snapshot: Snapshot,
    pub verify: Verify,
    /// Findings that the author accepts.
    pub allow: Vec<Allowance>,
    pub cloud_config: Mapping,
}

/// A download that the droplet makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The last part of the address.
    pub name: String,
    pub url: String,
    /// 64 hexadecimal digits from the lock; `None` if the artifact is not locked.
    pub sha256: Option<String>,
    /// Size in bytes, from the lock.
    pub size: Option<u64>,
    pub checksum_url: Option<String>,
    pub unpack: Vec<Unpack>,
}

/// A member of an archive. The empty member is the download itself; one that ends with `/` is a
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpack {
    pub member: String,
    pub to: String,
    pub owner: Owner,
    /// `None` if the files of a directory are 0755 or 0644, as the archive says.
    pub mode: Option<Mode>,
}

impl Unpack {
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.member.ends_with('/')
    }
}

/// A file of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Absolute path on the machine.
    pub path: String,
    /// Path of its source, relative to the project.
    pub source: String,
    pub owner: Owner,
    pub mode: Mode,
    /// Name of the script after which it is placed.
    pub after: Option<String>,
    /// Whether it is in the document's bundle; `None` if that depends on the room.
    pub bundle: Option<bool>,
    pub content: Content,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Loaded(Vec<u8>),
    /// Only its size is known, because no document has room for it. A bake uploads it.
    OnDisk {
        bytes: u64,
    },
}

impl Content {
    /// Returns the content, if it is loaded.
    #[must_use]
    pub fn loaded(&self) -> Option<&[u8]> {
        match self {
            Self::Loaded(bytes) => Some(bytes),
            Self::OnDisk { .. } => None,
        }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Loaded(bytes) => bytes.len() as u64,
            Self::OnDisk { bytes } => *bytes,
        }
    }
}

/// A script with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file's name: `01-users.sh`.
    pub name: String,
    /// Path relative to the project.
    pub source: String,
    pub content: Vec<u8>,
}

/// The files that an [`ImageSpec`] names.
#[derive(Debug, Clone, Default)]
pub struct FileTree {
    /// With the owners and modes of the tree, before `attributes` are applied.
    pub files: Vec<PlannedFile>,
    pub scripts: Vec<Script>,
    pub cleanup: Option<Script>,
    pub check: Option<Script>,
}

/// Why a plan cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("two sources for {path}: the file {file}, and the artifact {artifact}")]
    FileAndArtifact { path: String, file: String, artifact: String },
    #[error("`{glob}` is not a valid glob: {reason}")]
    Glob { glob: String, reason: String },
    #[error("{lock} does not pin {}", .urls.join(", "))]
    NotLocked { lock: String, urls: Vec<String> },
}

impl PlanError {
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::FileAndArtifact { .. } => "remove one of them from the template",
            Self::Glob { .. } => "for example /etc/nakama/*",
            Self::NotLocked { .. } => "run `mkimg lock` and commit the file",
        }
    }
}

impl PlannedFile {
    /// Returns whether cloud-init runs the file at boot.
    #[must_use]
    pub fn runs_on_boot(&self) -> bool {
        is_on_boot(&self.path)
    }

    /// Returns whether the runner puts it into its place: cloud-init would run it on the build
    /// droplet too, or write it too early.
    #[must_use]
    pub fn is_placed_by_runner(&self) -> bool {
        self.runs_on_boot() || self.after.is_some()
    }

    /// Returns whether its owner may not exist before cloud-init has created the users.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        !self.owner.is_in_base_system()
    }
}

impl Plan {
    /// Combines a template with its files and the lock. `template` is the template's path.
    ///
    /// # Errors
    ///
    /// Fails if a glob is invalid, or if a file and an artifact have the same path.
    pub fn new(template: &str, spec: ImageSpec, tree: FileTree, lock: &Lock) -> Result<Self, PlanError> {
        let attributes = Overrides::new(&spec.attributes)?;
        let mut files = tree.files;
        for file in &mut files {
            attributes.apply(&file.path, &mut file.owner, &mut file.mode);
            file.bundle = attributes.bundle(&file.path);
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut artifacts = Vec::new();
        for artifact in spec.artifacts {
            let download = artifact.to.map(|to| (String::new(), to, artifact.owner.clone(), artifact.mode));
            let members =
                artifact.unpack.into_iter().map(|(member, placed)| (member, placed.to, placed.owner, placed.mode));
            let mut unpack = Vec::new();
            for (member, to, owner, mode) in members.chain(download) {
                if let Some(file) = files.iter().find(|file| file.path == to) {
                    return Err(PlanError::FileAndArtifact {
                        path: to,
                        file: file.source.clone(),
                        artifact: artifact.url,
                    });
                }
                let mut owner = owner.unwrap_or_else(Owner::root);
                let mode = if member.ends_with('/') {
                    mode
                } else {
                    let mut mode = mode.unwrap_or(Mode(0o755));
                    attributes.apply(&to, &mut owner, &mut mode);
                    Some(mode)
                };
                unpack.push(Unpack { member, to, owner, mode });
            }
            let pin = lock.get(&artifact.url);
            let path = artifact.url.split(['?', '#']).next().unwrap_or_default();
            let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("download").to_owned();
            artifacts.push(Artifact {
                name,
                sha256: pin.map(|pin| pin.sha256.clone()),
                size: pin.map(|pin| pin.size),
                checksum_url: artifact.checksum,
                url: artifact.url,
                unpack,
            });
        }
        Ok(Self {
            name: image_name(template).to_owned(),
            template: template.to_owned(),
            droplet: spec.droplet,
            users: spec.users,
            upgrade: spec.upgrade,
            packages: spec.packages,
            artifacts,
            files,
            environment: spec.environment,
            scripts: tree.scripts,
            cleanup: tree.cleanup,
            check: tree.check,
            time_limits: spec.time_limits,
            snapshot: spec.snapshot,
            verify: spec.verify,
            allow: spec.allow,
            cloud_config: spec.cloud_config,
        })
    }

    /// Returns all scripts: those that run in order, then cleanup and check.
    pub fn all_scripts(&self) -> impl Iterator<Item = &Script> {
        self.scripts.iter().chain(&self.cleanup).chain(&self.check)
    }

    /// Returns the addresses of artifacts that the lock does not pin.
    pub fn unlocked(&self) -> impl Iterator<Item = &str> {
        self.artifacts.iter().filter(|artifact| artifact.sha256.is_none()).map(|artifact| artifact.url.as_str())
    }

    /// Requires that the lock pins all artifacts.
    ///
    /// # Errors
    ///
    /// Fails with the addresses that it does not pin.
    pub fn require_locked(&self, lock: &str) -> Result<(), PlanError> {
        let urls: Vec<String> = self.unlocked().map(str::to_owned).collect();
        if urls.is_empty() { Ok(()) } else { Err(PlanError::NotLocked { lock: lock.to_owned(), urls }) }
    }
}

/// The compiled globs of `attributes:`.
struct Overrides<'a>(Vec<(globset::GlobMatcher, &'a Attributes)>);

impl<'a> Overrides<'a> {
    fn new(attributes: &'a [Attributes]) -> Result<Self, PlanError> {
        let compile = |attributes: &'a Attributes| {
            let glob = globset::GlobBuilder::new(&attributes.path).literal_separator(true).build();
            glob.map(|glob| (glob.compile_matcher(), attributes))
                .map_err(|error| PlanError::Glob { glob: attributes.path.clone(), reason: error.kind().to_string() })
        };
        Ok(Self(attributes.iter().map(compile).collect::<Result<_, _>>()?))
    }

    fn of<'b>(&'b self, path: &'b str) -> impl DoubleEndedIterator<Item = &'a Attributes> + 'b {
        self.0.iter().filter(move |(glob, _)| glob.is_match(path)).map(|(_, attributes)| *attributes)
    }

    fn bundle(&self, path: &str) -> Option<bool> {
        self.of(path).rev().find_map(|attributes| attributes.bundle)
    }

    fn apply(&self, path: &str, owner: &mut Owner, mode: &mut Mode) {
        for attributes in self.of(path) {
            if let Some(new) = &attributes.owner {
                owner.clone_from(new);
            }
            if let Some(new) = attributes.mode {
                *mode = new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of several lines that match a file, the last one that says something counts, for each property.
    #[test]
    fn later_attributes_win() {
        let line = |path: &str, owner: Option<&str>, mode, bundle| Attributes {
            path: path.to_owned(),
            owner: owner.map(|owner| owner.parse().unwrap()),
            mode: (mode != 0).then_some(Mode(mode)),
            bundle,
        };
        let lines = [
            line("/etc/**", Some("a:a"), 0o600, Some(true)),
            line("/etc/x", Some("b:b"), 0, Some(false)),
            line("/etc/x", None, 0o640, None),
        ];
        let attributes = Overrides::new(&lines).unwrap();
        let of = |path: &str| {
            let (mut owner, mut mode) = (Owner::root(), Mode(0o644));
            attributes.apply(path, &mut owner, &mut mode);
            (owner.to_string(), mode.0, attributes.bundle(path))
        };
        assert_eq!(of("/etc/x"), ("b:b".to_owned(), 0o640, Some(false)));
        assert_eq!(of("/etc/y"), ("a:a".to_owned(), 0o600, Some(true)));
        assert_eq!(of("/srv/y"), ("root:root".to_owned(), 0o644, None));
    }
}
