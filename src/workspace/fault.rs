//! What can be wrong with the files and scripts that a template names.

use diagnostics::{Diagnostic, Rule};
use lint_rules as rules;

use crate::model::Places;

/// A fault, and the key of the template that named the file (`scripts.0`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFault {
    pub key: String,
    pub error: TreeError,
}

/// What is wrong with a file. Paths are relative to the project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("{path} does not exist")]
    Missing { path: String, meant: Option<String> },
    #[error("no file matches {glob}")]
    EmptyGlob { glob: String },
    #[error("`{glob}` is no glob: {reason}")]
    BadGlob { glob: String, reason: String },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{path} is a symbolic link")]
    Link { path: String },
    #[error("{path} is {kind}, not a regular file")]
    Special { path: String, kind: &'static str },
    #[error("{path} leaves the project: it is {target}")]
    Outside { path: String, target: String },
    #[error("{path} has a name that is not UTF-8 or holds control characters")]
    Name { path: String },
    #[error("{path} is larger than 64 MiB ({bytes} bytes)")]
    TooLarge { path: String, bytes: u64 },
    #[error("two sources for {destination}: {first} and {second}")]
    TwoSources { destination: String, first: String, second: String },
    #[error("{file} is to be a file at {destination}, but {inside} needs a directory there")]
    FileAndDirectory { destination: String, file: String, inside: String },
    #[error("{path} would land at {destination}: {reason}")]
    Destination { path: String, destination: String, reason: String },
    #[error("{path} holds no files")]
    EmptyTree { path: String },
    #[error("{path}:1: the script does not begin with `#!`")]
    NoInterpreter { path: String },
    #[error("{path}:1: a byte order mark stands before `#!`")]
    ByteOrderMark { path: String },
    #[error("{path}:1: the interpreter after `#!` is not an absolute path: `{written}`")]
    RelativeInterpreter { path: String, written: String },
    #[error("{path}:{line}: the line ends with CR LF")]
    CrLf { path: String, line: usize },
    #[error("two scripts are named {name}: {first} and {second}")]
    TwoScripts { name: String, first: String, second: String },
    #[error("{path} looks like what an editor or another program left behind")]
    Leftover { path: String },
    #[error("{path} is not executable: cloud-init runs only executable files in {directory}")]
    NotExecutable { path: String, directory: String },
}

impl TreeError {
    /// The rule that the error belongs to.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        match self {
            Self::Missing { .. } => &rules::FILE_MISSING,
            Self::EmptyGlob { .. } | Self::EmptyTree { .. } | Self::BadGlob { .. } => &rules::GLOB_WITHOUT_MATCH,
            Self::Unreadable { .. } | Self::Name { .. } | Self::TooLarge { .. } => &rules::FILE_UNREADABLE,
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
            Self::Leftover { .. } => &rules::BACKUP_FILE,
            Self::NotExecutable { .. } => &rules::ON_BOOT_SCRIPT_NOT_EXECUTABLE,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Missing { meant: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::Missing { .. } => "add it to the project, or take it out of the template".to_owned(),
            Self::EmptyGlob { .. } => {
                "paths begin at the project's directory; `*` does not go into directories".to_owned()
            }
            Self::BadGlob { .. } => "for example scripts/*.sh".to_owned(),
            Self::Unreadable { path, .. } => format!("make {path} readable for yourself"),
            Self::Link { .. } => "put the file itself here, or make the link in a script".to_owned(),
            Self::Special { .. } => "take it out of the tree".to_owned(),
            Self::Outside { .. } => "copy the file into the project".to_owned(),
            Self::Name { .. } => "give it another name".to_owned(),
            Self::TooLarge { .. } => "let the droplet download it: see `artifacts:`".to_owned(),
            Self::TwoSources { .. } | Self::FileAndDirectory { .. } => "remove or rename one of them".to_owned(),
            Self::Destination { .. } => "change `to:`, or take the file out of the tree".to_owned(),
            Self::EmptyTree { .. } => "add files, or take it out of `files:`".to_owned(),
            Self::NoInterpreter { .. } => "begin it with a line such as #!/bin/bash".to_owned(),
            Self::ByteOrderMark { path } => {
                format!("save it as UTF-8 without a byte order mark: sed -i '1s/^\\xef\\xbb\\xbf//' {path}")
            }
            Self::RelativeInterpreter { .. } => "write, for example, #!/bin/bash or #!/usr/bin/env python3".to_owned(),
            Self::CrLf { path, .. } => format!("convert it: sed -i 's/\\r$//' {path}"),
            Self::TwoScripts { .. } => "rename one of them: the machine has one directory of scripts".to_owned(),
            Self::Leftover { path } => format!("it lands on the machine: remove {path} unless that is meant"),
            Self::NotExecutable { path, .. } => format!("chmod +x {path}"),
        }
    }
}

impl TreeFault {
    /// As a finding in the template.
    #[must_use]
    pub fn diagnostic(&self, places: &Places) -> Diagnostic {
        let span = places.get(&self.key).copied();
        Diagnostic::new(self.error.rule(), &*self.key, span, self.error.to_string()).with_help(self.error.help())
    }
}
