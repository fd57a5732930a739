//! Problems with the files and scripts that a template names.

use diagnostics::{Diagnostic, Rule};
use lint_rules as rules;

use crate::model::Places;

/// A problem, and the key of the template that names the file, such as `scripts.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFault {
    pub key: String,
    pub error: TreeError,
}

/// A problem with a file. Paths are relative to the project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("{path} does not exist")]
    Missing { path: String, meant: Option<String> },
    #[error("no file matches {glob}")]
    EmptyGlob { glob: String },
    #[error("`{glob}` is not a valid glob: {reason}")]
    BadGlob { glob: String, reason: String },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{path} is a symbolic link")]
    Link { path: String },
    #[error("{path} is {kind}, not a regular file")]
    Special { path: String, kind: &'static str },
    #[error("{path} leaves the project: it is {target}")]
    Outside { path: String, target: String },
    #[error("{path} has a name that is not UTF-8 or contains control characters")]
    Name { path: String },
    #[error("{path} is larger than 64 MiB ({bytes} bytes)")]
    TooLarge { path: String, bytes: u64 },
    #[error("{path} brings the files to more than 64 GiB in all")]
    TreeTooLarge { path: String },
    #[error("two sources for {destination}: {first} and {second}")]
    TwoSources { destination: String, first: String, second: String },
    #[error("{file} would be a file at {destination}, but {inside} needs a directory there")]
    FileAndDirectory { destination: String, file: String, inside: String },
    #[error("{path} cannot be written to {destination}: {reason}")]
    Destination { path: String, destination: String, reason: String },
    #[error("{path} contains no files")]
    EmptyTree { path: String },
    #[error("{path}:1: the script does not begin with `#!`")]
    NoInterpreter { path: String },
    #[error("{path}:1: there is a byte order mark before `#!`")]
    ByteOrderMark { path: String },
    #[error("{path}:1: the interpreter after `#!` is not an absolute path: `{written}`")]
    RelativeInterpreter { path: String, written: String },
    #[error("{path}:{line}: the line ends with CR LF")]
    CrLf { path: String, line: usize },
    #[error("two scripts are named {name}: {first} and {second}")]
    TwoScripts { name: String, first: String, second: String },
    #[error("{path} looks like a backup or temporary file of another program")]
    Leftover { path: String },
    #[error("{path} was left by an interrupted mkimg, and is not part of the image")]
    Temporary { path: String },
    #[error("no file and no artifact has the path {glob}")]
    UnmatchedAttributes { glob: String, meant: Option<String> },
    #[error("`scripts:` does not contain {script}")]
    UnknownScript { script: String, meant: Option<String> },
    #[error("the template does not name {path}, so it is not part of the image")]
    NotNamed { path: String, key: &'static str },
    #[error("nothing in the template provides {unit}")]
    UnknownService { unit: String, meant: Option<String> },
    #[error("{path} is not executable: cloud-init runs only executable files in {directory}")]
    NotExecutable { path: String, directory: String },
}

impl TreeError {
    /// Returns the rule of the problem.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        match self {
            Self::Missing { .. } | Self::UnknownScript { .. } => &rules::FILE_MISSING,
            Self::EmptyGlob { .. }
            | Self::EmptyTree { .. }
            | Self::BadGlob { .. }
            | Self::UnmatchedAttributes { .. } => &rules::GLOB_WITHOUT_MATCH,
            Self::NotNamed { .. } => &rules::FILE_NOT_NAMED,
            Self::UnknownService { .. } => &rules::UNKNOWN_SERVICE,
            Self::Unreadable { .. } | Self::Name { .. } | Self::TooLarge { .. } | Self::TreeTooLarge { .. } => {
                &rules::FILE_UNREADABLE
            }
            Self::Link { .. } => &rules::FILE_IS_SYMLINK,
            Self::Special { .. } => &rules::SPECIAL_FILE,
            Self::Outside { .. } => &rules::FILE_OUTSIDE_PROJECT,
            Self::TwoSources { .. } | Self::FileAndDirectory { .. } | Self::TwoScripts { .. } => {
                &rules::CONFLICTING_FILES
            }
            Self::Destination { .. } => &rules::FILE_BAD_DESTINATION,
            Self::NoInterpreter { .. } | Self::ByteOrderMark { .. } | Self::RelativeInterpreter { .. } => {
                &rules::SCRIPT_WITHOUT_INTERPRETER
            }
            Self::CrLf { .. } => &rules::SCRIPT_WITH_CRLF,
            Self::Leftover { .. } | Self::Temporary { .. } => &rules::BACKUP_FILE,
            Self::NotExecutable { .. } => &rules::ON_BOOT_SCRIPT_NOT_EXECUTABLE,
        }
    }

    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Missing { meant: Some(meant), .. }
            | Self::UnmatchedAttributes { meant: Some(meant), .. }
            | Self::UnknownScript { meant: Some(meant), .. }
            | Self::UnknownService { meant: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::UnmatchedAttributes { .. } => "write the file's path on the machine, or remove the line".to_owned(),
            Self::UnknownScript { .. } => "name a script of `scripts:`, as it is written there".to_owned(),
            Self::NotNamed { path, key } => format!("add it to `{key}:`, or move {path} elsewhere"),
            Self::UnknownService { .. } => {
                "write the unit's name as `systemctl` shows it, or let a file, a package or a script bring it"
                    .to_owned()
            }
            Self::Missing { .. } => "add it to the project, or remove it from the template".to_owned(),
            Self::EmptyGlob { .. } => {
                "paths are relative to the project's directory; `*` does not match `/`".to_owned()
            }
            Self::BadGlob { .. } => "for example scripts/*.sh".to_owned(),
            Self::Unreadable { path, .. } => format!("make {path} readable"),
            Self::Link { .. } => "replace it by the file itself, or create the link in a script".to_owned(),
            Self::Special { .. } => "remove it from the tree".to_owned(),
            Self::Outside { .. } => "copy the file into the project".to_owned(),
            Self::Name { .. } => "give it another name".to_owned(),
            Self::TooLarge { .. } | Self::TreeTooLarge { .. } => {
                "let the droplet download it: see `artifacts:`".to_owned()
            }
            Self::TwoSources { .. } | Self::FileAndDirectory { .. } => "remove or rename one of them".to_owned(),
            Self::Destination { .. } => "change `to:`, or remove the file from the tree".to_owned(),
            Self::EmptyTree { .. } => "add files, or remove it from `files:`".to_owned(),
            Self::NoInterpreter { .. } => "begin it with a line such as #!/bin/bash".to_owned(),
            Self::ByteOrderMark { path } => {
                format!("save it as UTF-8 without a byte order mark: sed -i '1s/^\\xef\\xbb\\xbf//' {path}")
            }
            Self::RelativeInterpreter { .. } => "write, for example, #!/bin/bash or #!/usr/bin/env python3".to_owned(),
            Self::CrLf { path, .. } => format!("convert it: sed -i 's/\\r$//' {path}"),
            Self::TwoScripts { .. } => "rename one of them: all scripts are in one directory on the machine".to_owned(),
            Self::Leftover { path } => {
                format!("it would be copied to the machine: remove {path} unless that is intended")
            }
            Self::Temporary { path } => format!("remove it: rm -r {path}"),
            Self::NotExecutable { path, .. } => format!("chmod +x {path}"),
        }
    }
}

impl TreeFault {
    /// Returns the problem as a finding in the template.
    #[must_use]
    pub fn diagnostic(&self, places: &Places) -> Diagnostic {
        let span = places.get(&self.key).copied();
        Diagnostic::new(self.error.rule(), &*self.key, span, self.error.to_string()).with_help(self.error.help())
    }
}
