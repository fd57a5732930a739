//! What can be wrong with the files and scripts that a template names.

use crate::diag::{Diagnostic, Origin, Severity};
use crate::model::{Fault, Places};

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

macro_rules! faults {
    ($($constant:ident $code:literal $name:literal $explanation:literal;)*) => {
        $(const $constant: Fault = Fault { code: $code, name: $name, explanation: $explanation };)*
        /// Every fault, in the order of its code.
        pub const FAULTS: &[Fault] = &[$($constant),*];
    };
}

faults! {
    MISSING "MK941" "file-missing" "The template names a file or directory that is not in the project.";
    EMPTY_GLOB "MK942" "glob-without-match" "A glob of the template matches nothing, or is none.";
    UNREADABLE "MK943" "file-unreadable" "The file is there, but cannot be read, or its name or size is out of bounds.";
    LINK "MK944" "file-is-link"
        "Symbolic links are refused: what they point at differs between machines, and cloud-init writes files only. Let a \
         script make the link on the machine.";
    SPECIAL "MK945" "file-is-special" "Devices, sockets and named pipes have no contents to put into a document.";
    OUTSIDE "MK946" "file-outside-project" "A path leads out of the project, where nobody else has the file.";
    TWO_SOURCES "MK947" "file-two-sources" "Two files would land at one place on the machine.";
    DESTINATION "MK948" "file-bad-destination" "A file would land where it cannot stay.";
    SHEBANG "MK949" "script-without-interpreter"
        "A script's first line names its interpreter, such as `#!/bin/bash`: /run is mounted noexec, so that the runner \
         starts the interpreter itself.";
    CRLF "MK950" "script-with-crlf"
        "Lines that end with CR LF make a shell look for `bash\\r`, and add `\\r` to every last word.";
    LEFTOVER "MK951" "file-leftover" "A file's name is one that editors, patch or version control leave behind.";
    NOT_EXECUTABLE "MK952" "on-boot-script-not-executable"
        "cloud-init skips files without an executable bit under /var/lib/cloud/scripts, silently.";
}

impl TreeError {
    /// The code and page of this kind of fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => MISSING,
            Self::EmptyGlob { .. } | Self::EmptyTree { .. } | Self::BadGlob { .. } => EMPTY_GLOB,
            Self::Unreadable { .. } | Self::Name { .. } | Self::TooLarge { .. } => UNREADABLE,
            Self::Link { .. } => LINK,
            Self::Special { .. } => SPECIAL,
            Self::Outside { .. } => OUTSIDE,
            Self::TwoSources { .. } | Self::FileAndDirectory { .. } | Self::TwoScripts { .. } => TWO_SOURCES,
            Self::Destination { .. } => DESTINATION,
            Self::NoInterpreter { .. } | Self::ByteOrderMark { .. } | Self::RelativeInterpreter { .. } => SHEBANG,
            Self::CrLf { .. } => CRLF,
            Self::Leftover { .. } => LEFTOVER,
            Self::NotExecutable { .. } => NOT_EXECUTABLE,
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
    pub fn diagnostic(&self, places: &Places, severity: Severity) -> Diagnostic {
        let Fault { code, name, .. } = self.error.fault();
        Diagnostic {
            code,
            name,
            origin: Origin::Mkimg,
            severity,
            path: self.key.clone(),
            message: self.error.to_string(),
            help: Some(self.error.help()),
            span: places.get(&self.key).copied(),
            related: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(super::FAULTS.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
