//! Lays a plan out as cloud-config: users, cloud-init's own configuration, the runner's start, and the files.
//!
//! `write_files` comes last, and in it the files of the machine come first: a reviewer reads them before mkimg's own, and
//! the bake's entry can be appended to the text.

use super::document::RenderError;
use super::encoding::{Effort, Encoding};
use super::{plan_json, runner};
use crate::model::{Mapping, Mode, Owner, Plan, PlannedFile, User, Value};

/// One `write_files` entry, not yet encoded.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub path: String,
    pub owner: Owner,
    pub mode: Mode,
    pub deferred: bool,
    pub content: Vec<u8>,
    pub encoding: Encoding,
    /// The content as the document has it. Kept, because a thorough compression is too dear to be made twice.
    encoded: String,
}

impl Entry {
    fn new(path: impl Into<String>, mode: Mode, content: Vec<u8>) -> Self {
        let encoding = Encoding::readable(&content);
        let encoded = encoding.encode(&content).unwrap_or_default();
        Self { path: path.into(), owner: Owner::root(), mode, deferred: false, content, encoding, encoded }
    }

    /// The same file, encoded another way; as it was if its bytes cannot be encoded so.
    pub(super) fn encoded_as(self, encoding: Encoding) -> Self {
        match encoding.encode(&self.content) {
            Some(encoded) => Self { encoding, encoded, ..self },
            None => self,
        }
    }

    fn file(file: &PlannedFile) -> Self {
        let entry = Self::new(file.path.clone(), file.mode, file.content.clone());
        Self { owner: file.owner.clone(), deferred: file.is_deferred(), ..entry }
    }

    /// As cloud-init reads it.
    pub(super) fn value(&self) -> Value {
        let mut mapping = Mapping::new();
        let mut set = |key: &str, value: Value| mapping.insert(Value::from(key), value);
        set("path", Value::from(self.path.as_str()));
        set("owner", Value::from(self.owner.to_string()));
        set("permissions", Value::from(self.mode.to_string()));
        if self.deferred {
            set("defer", Value::Bool(true));
        }
        if self.encoding != Encoding::Text {
            set("encoding", Value::from(self.encoding.name()));
        }
        set("content", Value::from(self.encoded.as_str()));
        Value::Mapping(mapping)
    }
}

fn own_entries(plan: Vec<u8>) -> [Entry; 2] {
    let program = Entry::new(runner::PATH, Mode(0o600), runner::program().into_bytes());
    [Entry::new(plan_json::PATH, Mode(0o600), plan), program.encoded_as(Encoding::GzipBase64(Effort::Quick))]
}

/// The entries of an image whose runner carries what only it needs; and the paths of what it carries.
pub(super) fn carried(entries: Vec<Entry>) -> (Vec<Entry>, Vec<String>) {
    let (staged, mut kept): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        .partition(|entry| plan_json::is_staged(&entry.path) && std::str::from_utf8(&entry.content).is_ok());
    let files: Vec<runner::Carried<'_>> = staged
        .iter()
        .filter_map(|entry| {
            let text = std::str::from_utf8(&entry.content).ok()?;
            Some(runner::Carried { path: &entry.path, mode: entry.mode.0, text })
        })
        .collect();
    let program = runner::program_carrying(&files).into_bytes();
    for entry in kept.iter_mut().filter(|entry| entry.path == runner::PATH) {
        *entry =
            Entry::new(runner::PATH, entry.mode, program.clone()).encoded_as(Encoding::GzipBase64(Effort::Thorough));
    }
    (kept, staged.into_iter().map(|entry| entry.path).collect())
}

/// The entries of an image.
pub(super) fn image(plan: &Plan) -> Vec<Entry> {
    let mut entries: Vec<Entry> = plan.files.iter().filter(|file| !file.is_held_back()).map(Entry::file).collect();
    entries.extend(
        plan_json::held_back(plan)
            .map(|(index, file)| Entry::new(plan_json::staged_path(index), Mode(0o600), file.content.clone())),
    );
    let scripts = plan.scripts.iter().chain(&plan.cleanup).chain(&plan.check);
    let mut seen = std::collections::BTreeSet::new();
    for script in scripts {
        let path = plan_json::script_path(script);
        // A script that is listed and is also the check is one file.
        if seen.insert(path.clone()) {
            entries.push(Entry::new(path, Mode(0o700), script.content.clone()));
        }
    }
    entries.extend(own_entries(plan_json::image(plan)));
    entries
}

/// The entries of a verification.
pub(super) fn verification(plan: &Plan) -> Vec<Entry> {
    own_entries(plan_json::verification(plan)).into()
}

/// What stands before `write_files`, and the entries that `cloud_config` adds to it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub head: Mapping,
    pub more_files: Vec<Value>,
}

/// Users, cloud-init's own configuration and `runcmd`.
pub(super) fn frame(plan: &Plan) -> Result<Frame, RenderError> {
    let mut rest = plan.cloud_config.clone();
    let mut list = |key: &'static str| match rest.shift_remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(items)) => Ok(items),
        Some(_) => Err(RenderError::Conflict { key }),
    };
    let (more_users, more_commands, more_files) = (list("users")?, list("runcmd")?, list("write_files")?);
    if rest.contains_key("power_state") {
        return Err(RenderError::Conflict { key: "power_state" });
    }
    let mut head = Mapping::new();
    let users = users(&plan.users, more_users);
    if !users.is_empty() {
        head.insert(Value::from("users"), Value::Sequence(users));
    }
    head.extend(rest);
    let mut commands = start();
    commands.extend(more_commands);
    head.insert(Value::from("runcmd"), Value::Sequence(commands));
    Ok(Frame { head, more_files })
}

/// What stands before `write_files` in a verification.
pub(super) fn verification_frame() -> Frame {
    let head = Mapping::from_iter([(Value::from("runcmd"), Value::Sequence(start()))]);
    Frame { head, more_files: Vec::new() }
}

fn start() -> Vec<Value> {
    vec![Value::Sequence(runner::START.iter().map(|argument| Value::from(*argument)).collect())]
}

/// cloud-init's `users`: the distribution's own first, unless the template says where.
fn users(users: &[User], more: Vec<Value>) -> Vec<Value> {
    let default = Value::from("default");
    let mut values: Vec<Value> = users.iter().map(user).collect();
    if !values.is_empty() && !values.contains(&default) {
        values.insert(0, default.clone());
    }
    let has_default = values.contains(&default);
    values.extend(more.into_iter().filter(|value| !(has_default && *value == default)));
    values
}

fn user(user: &User) -> Value {
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
