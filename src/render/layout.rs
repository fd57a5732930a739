//! Lays a plan out as cloud-config: users, cloud-init's own configuration, the start of the runner,
//! and the files.
//!
//! `write_files` comes last. In it, the files of the machine come first, because a reviewer reads
//! them before mkimg's own; a bake puts its entry before all of them. `document` puts the bundle before
//! it. `/run/mkimg/plan.json` holds the runner's instructions; `docs/design/first-boot.md` defines it.

use std::collections::BTreeSet;

use serde_json::json;

use super::entry::DocumentEntry;
use super::error::RenderError;
use super::runner::{self, Needs};
use crate::model::{Content, Mapping, Mode, Plan, PlannedFile, Script, Unpack, User, Value};

/// Where the runner's instructions are on the droplet.
pub const PLAN_PATH: &str = "/run/mkimg/plan.json";
const SCRIPTS_DIRECTORY: &str = "/run/mkimg/scripts/";
const DEFERRED_DIRECTORY: &str = "/run/mkimg/deferred/";

/// Returns the entries of an image.
pub(super) fn image_entries(plan: &Plan) -> Vec<DocumentEntry> {
    let files = plan.files.iter().filter(|file| !file.is_placed_by_runner());
    let mut entries: Vec<DocumentEntry> = files.map(DocumentEntry::from_file).collect();
    for (index, file) in deferred_files(plan) {
        let entry = DocumentEntry::new(deferred_path(index), Mode(0o600), file.content.clone());
        entries.push(DocumentEntry { bundle: file.bundle, source: file.source.clone(), ..entry });
    }
    // A check that is also listed as a script is one file.
    let mut seen = BTreeSet::new();
    for script in plan.all_scripts() {
        let path = script_path(script);
        if seen.insert(path.clone()) {
            let content = Content::Loaded(script.content.clone());
            entries.push(DocumentEntry::new(path, Mode(0o700), content));
        }
    }
    let needs = Needs {
        packages: plan.upgrade || !plan.packages.is_empty(),
        artifacts: !plan.artifacts.is_empty(),
        directories: plan.artifacts.iter().flat_map(|artifact| &artifact.unpack).any(Unpack::is_directory),
    };
    entries.extend(runner_entries(image_plan(plan), needs));
    entries
}

/// Returns the entries of a verification.
pub(super) fn verification_entries(plan: &Plan) -> Vec<DocumentEntry> {
    runner_entries(verification_plan(plan), Needs { packages: false, artifacts: false, directories: false }).into()
}

fn runner_entries(plan: String, needs: Needs) -> [DocumentEntry; 2] {
    let program = DocumentEntry::own(runner::PATH, runner::install_program(needs));
    let program = DocumentEntry { bundle: Some(true), ..program };
    [DocumentEntry::own(PLAN_PATH, plan), program]
}

fn script_path(script: &Script) -> String {
    format!("{SCRIPTS_DIRECTORY}{}", script.name)
}

fn deferred_path(index: usize) -> String {
    format!("{DEFERRED_DIRECTORY}{index}")
}

fn deferred_files(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedFile)> {
    plan.files.iter().filter(|file| file.is_placed_by_runner()).enumerate()
}

/// Returns the runner's instructions for an image.
fn image_plan(plan: &Plan) -> String {
    let script = |script: &Script| json!({"name": script.name, "path": script_path(script)});
    let artifacts = plan.artifacts.iter().map(|artifact| {
        let unpack = artifact.unpack.iter().map(|entry| {
            let mode = entry.mode.map(|mode| mode.to_string());
            json!({"member": entry.member, "to": entry.to, "owner": entry.owner.to_string(), "mode": mode})
        });
        json!({
            "name": artifact.name, "url": artifact.url, "sha256": artifact.sha256, "size": artifact.size,
            "checksum_url": artifact.checksum_url, "unpack": unpack.collect::<Vec<_>>(),
        })
    });
    let deferred = deferred_files(plan).map(|(index, file)| {
        json!({
            "path": file.path, "staged": deferred_path(index), "owner": file.owner.to_string(), "mode": file.mode.to_string(),
            "after": file.after.as_deref().unwrap_or_default(),
        })
    });
    let limits = plan.time_limits;
    to_text(&json!({
        "version": 1,
        "kind": "image",
        "name": plan.name,
        "upgrade": plan.upgrade,
        "packages": plan.packages,
        "artifacts": artifacts.collect::<Vec<_>>(),
        "environment": plan.environment,
        "scripts": plan.scripts.iter().map(script).collect::<Vec<_>>(),
        "deferred_files": deferred.collect::<Vec<_>>(),
        "cleanup": plan.cleanup.as_ref().map(script),
        "check": plan.check.as_ref().map(script),
        "time_limits": {"packages": limits.packages.as_secs(), "download": limits.download.as_secs(), "script": limits.script.as_secs()},
    }))
}

/// Returns the runner's instructions for the verification of a fresh instance.
fn verification_plan(plan: &Plan) -> String {
    let on_boot = plan.files.iter().filter(|file| file.runs_on_boot());
    let on_boot: Vec<&str> = on_boot.map(|file| file.path.as_str()).collect();
    to_text(&json!({
        "version": 1,
        "kind": "verification",
        "name": plan.name,
        "on_boot": on_boot,
        "services": plan.verify.services,
        "ports": plan.verify.ports,
        "commands": plan.verify.commands,
        "time_limits": {"ready": plan.verify.ready.as_secs()},
    }))
}

fn to_text(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// A document without its entries.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Everything before `bootcmd`.
    pub head: Mapping,
    /// The items of `bootcmd` that `cloud_config` adds. They come before mkimg's, which writes files,
    /// as they come before `write_files`.
    pub boot_commands: Vec<Value>,
    /// The entries that `cloud_config` adds.
    pub more_files: Vec<Value>,
}

/// Returns users, cloud-init's own configuration and `runcmd`.
pub(super) fn image_frame(plan: &Plan) -> Result<Frame, RenderError> {
    let mut rest = plan.cloud_config.clone();
    let mut list = |key: &'static str| match rest.shift_remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(items)) => Ok(items),
        Some(_) => Err(RenderError::Conflict { key }),
    };
    let (more_users, more_commands, more_files) = (list("users")?, list("runcmd")?, list("write_files")?);
    let boot_commands = list("bootcmd")?;
    if rest.contains_key("power_state") {
        return Err(RenderError::Conflict { key: "power_state" });
    }
    let mut head = Mapping::new();
    let users = all_users(&plan.users, more_users);
    if !users.is_empty() {
        head.insert(Value::from("users"), Value::Sequence(users));
    }
    head.extend(rest);
    let mut commands = start_command();
    commands.extend(more_commands);
    head.insert(Value::from("runcmd"), Value::Sequence(commands));
    Ok(Frame { head, boot_commands, more_files })
}

pub(super) fn verification_frame() -> Frame {
    let head = Mapping::from_iter([(Value::from("runcmd"), Value::Sequence(start_command()))]);
    Frame { head, boot_commands: Vec::new(), more_files: Vec::new() }
}

fn start_command() -> Vec<Value> {
    vec![Value::Sequence(runner::START.iter().map(|argument| Value::from(*argument)).collect())]
}

/// Returns cloud-init's `users`. The distribution's own user comes first, unless the template says
/// where.
fn all_users(users: &[User], more: Vec<Value>) -> Vec<Value> {
    let default = Value::from("default");
    let mut values: Vec<Value> = users.iter().map(user_value).collect();
    if !values.is_empty() && !values.contains(&default) {
        values.insert(0, default.clone());
    }
    let has_default = values.contains(&default);
    values.extend(more.into_iter().filter(|value| !(has_default && *value == default)));
    values
}

fn user_value(user: &User) -> Value {
    if user.name == "default" {
        return Value::from("default");
    }
    let mut mapping = Mapping::new();
    let mut set = |key: &str, value: Value| mapping.insert(Value::from(key), value);
    set("name", Value::from(user.name.as_str()));
    if let Some(comment) = &user.comment {
        set("gecos", Value::from(comment.as_str()));
    }
    if user.system {
        set("system", Value::Bool(true));
    }
    if !user.create_home.unwrap_or(!user.system) {
        set("no_create_home", Value::Bool(true));
    }
    if let Some(home) = &user.home {
        set("homedir", Value::from(home.as_str()));
    }
    match (&user.shell, user.system) {
        (Some(shell), _) => {
            set("shell", Value::from(shell.as_str()));
        }
        (None, true) => {
            set("shell", Value::from("/usr/sbin/nologin"));
        }
        (None, false) => {}
    }
    if !user.groups.is_empty() {
        set("groups", Value::Sequence(user.groups.iter().map(|group| Value::from(group.as_str())).collect()));
    }
    Value::Mapping(mapping)
}
