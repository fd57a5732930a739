//! What provisioners become: files of the tree, scripts in order, one environment.
//!
//! To carry over another kind of provisioner, add a file beside `shell.rs` and a line in [`Provision::step`].

mod file;
mod shell;

use std::collections::BTreeMap;

use super::Disk;
use super::fault::Notes;
use super::packer::{Block, Packer};
use super::text::Text;

/// A file or a directory of the template's that goes into the project's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileCopy {
    /// A file, to a path of the project (`files/etc/motd`).
    File { from: String, to: String },
    /// All that is in a directory, into a directory of the project.
    Directory { from: String, to: String },
    /// Text that the template itself holds.
    Text { text: String, to: String },
}

/// A script of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its path in the project: `scripts/01-users.sh`.
    pub to: String,
    pub text: ScriptText,
    /// Lines for its beginning, where its environment is not that of the other scripts.
    pub exports: Vec<String>,
    pub role: Role,
}

/// Where a script's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptText {
    /// A file beside the Packer template.
    File(String),
    Inline(String),
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Step,
    Cleanup,
    Check,
}

/// What all provisioners together become.
#[derive(Debug, Default)]
pub(super) struct Provision {
    pub files: Vec<FileCopy>,
    pub scripts: Vec<Script>,
    pub environment: BTreeMap<String, Text>,
    /// `/etc`, `/var`: where the trees land.
    pub trees: Vec<String>,
    /// Everything else that names variables.
    pub used: Vec<Text>,
}

/// Options that change how Packer runs a script, and not what it does.
const WITHOUT_USE: &[&str] = &[
    "binary",
    "execute_command",
    "expect_disconnect",
    "remote_file",
    "remote_folder",
    "remote_path",
    "remote_env_var_path",
    "skip_clean",
    "start_retry_timeout",
    "use_env_var_file",
    "env_var_format",
    "pause_before",
    "pause_after",
    "timeout",
    "max_retries",
];

pub(super) fn provision(packer: &Packer, disk: Disk<'_>, notes: &mut Notes) -> Provision {
    let mut out = Provision::default();
    for block in &packer.provisioners {
        out.step(block, disk, notes);
    }
    out
}

impl Provision {
    fn step(&mut self, block: &Block, disk: Disk<'_>, notes: &mut Notes) {
        match block.kind.as_str() {
            "file" => self.file(block, disk, notes),
            "shell" => self.shell(block, disk, notes),
            "breakpoint" | "sleep" => {
                notes.without_use(block.place, "provisioners", format!("`{}` is not needed", block.kind));
            }
            other => {
                let message = format!("the provisioner `{other}` was left out");
                notes.not_carried(block.place, "provisioners", message, "do the same in a script under scripts/");
            }
        }
    }
}

/// Says of every option that is not among the known ones what becomes of it.
fn leftovers(block: &Block, known: &[&str], notes: &mut Notes) {
    for option in block.options.iter().filter(|option| !known.contains(&option.name.as_str())) {
        let name = option.name.as_str();
        if WITHOUT_USE.contains(&name) {
            notes.without_use(
                option.place,
                name,
                format!("`{name}` is not needed: the droplet runs scripts by itself, as root, once"),
            );
        } else {
            let message = format!("`{name}` has no counterpart in mkimg, and was left out");
            notes.not_carried(option.place, name, message, "see to it in the script itself");
        }
    }
}
