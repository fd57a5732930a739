//! The Plan: everything that one image is made of, resolved and typed. Nothing of the template language is left in it.

use std::collections::BTreeMap;

use super::lock::Lock;
use super::mode::{Mode, Owner};
use super::spec::{Allowance, Attributes, Droplet, ImageSpec, Snapshot, TimeLimits, User, Verify};
use super::template::template_name;
use super::value::Mapping;

/// One image.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The template's name, without directory and ending.
    pub name: String,
    /// The template's file, relative to the project where it is inside: the same on every machine.
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
    /// Findings about the document that are meant to be so.
    pub allow: Vec<Allowance>,
    pub cloud_config: Mapping,
}

/// A download of the droplet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The last part of the address.
    pub name: String,
    pub url: String,
    /// 64 hexadecimal digits, from the lock; `None` when it is not locked.
    pub sha256: Option<String>,
    /// Bytes, from the lock.
    pub size: Option<u64>,
    pub checksum_url: Option<String>,
    pub unpack: Vec<Unpack>,
}

/// One member of an archive; the empty member is the download itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpack {
    pub member: String,
    pub to: String,
    pub owner: Owner,
    pub mode: Mode,
}

/// A file of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Absolute, on the machine.
    pub path: String,
    /// Where it comes from, relative to the project.
    pub source: String,
    pub owner: Owner,
    pub mode: Mode,
    pub content: Vec<u8>,
}

/// A script with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The file's name: `01-users.sh`.
    pub name: String,
    /// Relative to the project.
    pub source: String,
    pub content: Vec<u8>,
}

/// What was read from disk for an [`ImageSpec`].
#[derive(Debug, Clone, Default)]
pub struct FileTree {
    /// With the owner and mode that the tree gives; `attributes` come on top.
    pub files: Vec<PlannedFile>,
    pub scripts: Vec<Script>,
    pub cleanup: Option<Script>,
    pub check: Option<Script>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("two sources for {path}: the file {file}, and the artifact {artifact}")]
    FileAndArtifact { path: String, file: String, artifact: String },
    #[error("`{glob}` is no glob: {reason}")]
    Glob { glob: String, reason: String },
    #[error("{lock} does not pin {}", .urls.join(", "))]
    NotLocked { lock: String, urls: Vec<String> },
}

impl PlanError {
    /// What to do next.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::FileAndArtifact { .. } => "take one of them out of the template",
            Self::Glob { .. } => "for example /etc/nakama/*",
            Self::NotLocked { .. } => "run `mkimg lock`, and commit the file that it writes",
        }
    }
}

/// Directories whose scripts cloud-init runs on its own: their files are held back until the end.
const HELD_BACK: [&str; 3] =
    ["/var/lib/cloud/scripts/per-instance/", "/var/lib/cloud/scripts/per-boot/", "/var/lib/cloud/scripts/per-once/"];

impl PlannedFile {
    /// cloud-init would run it on the build droplet: it is put into place at the very end.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        HELD_BACK.iter().any(|directory| self.path.starts_with(directory))
    }

    /// Its owner does not exist before cloud-init has made the users.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        !self.owner.is_of_base_system()
    }
}

impl Plan {
    /// Puts together what the template (a file of this name) says, what the disk holds and what the lock pins.
    pub fn new(template: &str, spec: ImageSpec, tree: FileTree, lock: &Lock) -> Result<Self, PlanError> {
        let attributes = Overrides::new(&spec.attributes)?;
        let mut files = tree.files;
        for file in &mut files {
            attributes.apply(&file.path, &mut file.owner, &mut file.mode);
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut artifacts = Vec::new();
        for artifact in spec.artifacts {
            let whole = artifact.to.map(|to| (String::new(), to, artifact.owner.clone(), artifact.mode));
            let members =
                artifact.unpack.into_iter().map(|(member, placed)| (member, placed.to, placed.owner, placed.mode));
            let mut unpack = Vec::new();
            for (member, to, owner, mode) in members.chain(whole) {
                if let Some(file) = files.iter().find(|file| file.path == to) {
                    return Err(PlanError::FileAndArtifact {
                        path: to,
                        file: file.source.clone(),
                        artifact: artifact.url,
                    });
                }
                let mut owner = owner.unwrap_or_else(Owner::root);
                let mut mode = mode.unwrap_or(Mode(0o755));
                attributes.apply(&to, &mut owner, &mut mode);
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
            name: template_name(template).to_owned(),
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

    /// The addresses of artifacts that the lock does not pin.
    pub fn unlocked(&self) -> impl Iterator<Item = &str> {
        self.artifacts.iter().filter(|artifact| artifact.sha256.is_none()).map(|artifact| artifact.url.as_str())
    }

    /// `--locked`: refuses a plan with artifacts that `lock` does not pin.
    pub fn require_locked(&self, lock: &str) -> Result<(), PlanError> {
        let urls: Vec<String> = self.unlocked().map(str::to_owned).collect();
        if urls.is_empty() { Ok(()) } else { Err(PlanError::NotLocked { lock: lock.to_owned(), urls }) }
    }
}

/// `attributes:`, compiled.
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

    fn apply(&self, path: &str, owner: &mut Owner, mode: &mut Mode) {
        for (_, attributes) in self.0.iter().filter(|(glob, _)| glob.is_match(path)) {
            if let Some(new) = &attributes.owner {
                owner.clone_from(new);
            }
            if let Some(new) = attributes.mode {
                *mode = new;
            }
        }
    }
}
