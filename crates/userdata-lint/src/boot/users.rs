//! Users and groups that do not exist yet when they are needed.

use std::collections::{BTreeMap, BTreeSet};

use super::packages::{DEFAULT_USERS, is_base_account, packages_of_account, provides};
use super::steps::{Boot, MAX_COMPARED, Stage, text};
use crate::cloud_config::CloudConfig;
use crate::places::finding;
use crate::rules;
use crate::value;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Keys of modules that may create any user or group.
const ACCOUNT_MANAGERS: &[&str] = &["ansible", "chef", "puppet", "salt_minion", "snap", "apt", "landscape"];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let created = created_accounts(boot.document);
    check_owners(boot, &created, out);
    check_late_owners(boot.document, &created, out);
    check_passwords(boot, &created, out);
    check_members(boot, &created, out);
    check_locked_passwords(boot, out);
    check_group_separators(boot, out);
    check_names(boot.document, out);
}

/// Users and groups that the document creates, with the spans of their names.
pub(super) fn created_accounts<'t>(document: &CloudConfig<'t>) -> BTreeMap<&'t str, Span> {
    let mut out = BTreeMap::new();
    let mut add = |name: &'t str, place: Span| {
        for part in name.split(',') {
            out.entry(part.trim()).or_insert(place);
        }
    };
    for key in ["users", "user"] {
        let Some(node) = document.get(key) else { continue };
        let users: Vec<Node<'t>> = node.items().map_or_else(|| vec![node], Iterator::collect);
        for user in users {
            if let Some(name) = user.as_str() {
                add(name, user.used_at());
            }
            if let Some(name) = value::get(document.tree, user, "name") {
                name.as_str().into_iter().for_each(|text| add(text, name.used_at()));
            }
            for key in ["groups", "primary_group", "primary-group"] {
                let Some(groups) = value::get(document.tree, user, key) else { continue };
                groups.as_str().into_iter().for_each(|text| add(text, groups.used_at()));
                for group in groups.items().into_iter().flatten() {
                    group.as_str().into_iter().for_each(|text| add(text, group.used_at()));
                }
                for (group, _) in groups.entries().into_iter().flatten() {
                    group.as_str().into_iter().for_each(|text| add(text, group.used_at()));
                }
            }
        }
    }
    for group in groups(document) {
        add(group.0, group.1.used_at());
    }
    out
}

/// The entries of `groups`: name, node and members.
fn groups<'t>(document: &CloudConfig<'t>) -> Vec<(&'t str, Node<'t>, Option<Node<'t>>)> {
    let Some(groups) = document.get("groups") else { return Vec::new() };
    let mut out = Vec::new();
    let mut add = |node: Node<'t>| {
        if let Some(names) = node.as_str() {
            out.extend(names.split(',').map(|name| (name.trim(), node, None)));
        }
        for (key, members) in node.entries().into_iter().flatten() {
            out.extend(key.as_str().map(|name| (name, key, Some(members))));
        }
    };
    match groups.items() {
        Some(items) => items.for_each(&mut add),
        None => add(groups),
    }
    out
}

/// Reports files whose owner the document creates after it has written them.
fn check_late_owners(document: &CloudConfig<'_>, created: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let is_new = |name: &str| !name.is_empty() && name != "default" && !is_base_account(name);
    for file in document.files().iter().filter(|file| !file.deferred && file.path.is_some()) {
        let Some(node) = value::get(document.tree, file.node, "owner") else { continue };
        let Some(owner) = node.as_str() else { continue };
        let mut names = owner.splitn(2, ':').filter(|name| is_new(name));
        let Some((name, place)) = names.find_map(|name| created.get_key_value(name)) else { continue };
        let message = format!("{} does not exist yet when this file is written", quoted(name));
        let help = Some("add `defer: true`: the file is then written after users and groups are created".into());
        let mut found = file.finding(&rules::OWNER_CREATED_LATER, "owner", node.used_at(), message, help);
        found.related.push((*place, "created here, later".into()));
        out.push(found);
    }
}

fn check_owners(boot: &Boot<'_, '_>, created: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let mut tries = 0;
    // cloud-init skips an entry without a path.
    for file in document.files().iter().filter(|file| file.path.is_some()) {
        let Some(node) = value::get(document.tree, file.node, "owner") else { continue };
        let Some(owner) = node.as_str() else { continue };
        for name in owner.splitn(2, ':') {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) || name == "-1";
            if name.is_empty()
                || is_number
                || is_base_account(name)
                || created.contains_key(name)
                || name.contains(['{', '$'])
            {
                continue;
            }
            tries += 1;
            if tries > MAX_COMPARED {
                return;
            }
            let installed = packages_of_account(name)
                .and_then(|packages| boot.packages.iter().find(|package| provides(package, packages)));
            // A command may create the account. Only `bootcmd` runs before files are written.
            let mentioned = boot.steps.iter().any(|step| {
                (file.deferred || step.stage == Stage::Bootcmd)
                    && step.commands.iter().any(|command| command.written.contains(name))
            });
            let managed = file.deferred
                && (ACCOUNT_MANAGERS.iter().any(|key| document.get(key).is_some())
                    || !boot.packages.is_empty() && packages_of_account(name).is_none());
            let (rule, message, help) = match installed {
                Some(_) if file.deferred => continue,
                Some(package) => (
                    &rules::OWNER_CREATED_BY_PACKAGE,
                    format!(
                        "{} is created by the package {}, which is installed after this file is written",
                        quoted(name),
                        quoted(package)
                    ),
                    "add `defer: true`: the file is then written after packages are installed",
                ),
                None if mentioned || managed => continue,
                None if DEFAULT_USERS.contains(&name) && file.deferred => continue,
                None if DEFAULT_USERS.contains(&name) => (
                    &rules::UNKNOWN_OWNER,
                    format!(
                        "{} is a distribution's default user, which is created after this file is written",
                        quoted(name)
                    ),
                    "add `defer: true`",
                ),
                None => (
                    &rules::UNKNOWN_OWNER,
                    format!(
                        "base images do not have {}, and nothing creates it before this file is written",
                        quoted(name)
                    ),
                    "create it under `users` or `groups` and add `defer: true`, or change the owner in `runcmd`",
                ),
            };
            out.push(file.finding(rule, "owner", node.used_at(), message, Some(help.into())));
            break;
        }
    }
}

/// Reports passwords of users that the document does not create, if it has `users`.
fn check_passwords(boot: &Boot<'_, '_>, created: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    if document.get("users").and_then(Node::items).is_none() {
        return;
    }
    let unknown = |name: &str| {
        !(created.contains_key(name)
            || is_base_account(name)
            || DEFAULT_USERS.contains(&name)
            || name.contains(['{', '$']))
    };
    let mut report = |name: &str, path: String, place: Span| {
        let message = format!("the user {} does not exist: setting the passwords fails", quoted(name));
        let help = Some("add it to `users`, or correct its name".into());
        out.push(finding(&rules::PASSWORD_OF_UNKNOWN_USER, path, place, message, help));
    };
    let Some(chpasswd) = document.get("chpasswd") else { return };
    let users = value::get(document.tree, chpasswd, "users").and_then(Node::items);
    for (index, user) in users.into_iter().flatten().enumerate() {
        let Some(name) = text(document, user, "name").filter(|name| unknown(name)) else { continue };
        let place = value::get(document.tree, user, "name").unwrap_or(user).used_at();
        report(name, format!("chpasswd.users.{index}.name"), place);
    }
    let list = value::get(document.tree, chpasswd, "list").and_then(Node::items);
    for (index, item) in list.into_iter().flatten().enumerate() {
        let Some((name, _)) = item.as_str().and_then(|line| line.split_once(':')).filter(|(name, _)| unknown(name))
        else {
            continue;
        };
        report(name, format!("chpasswd.list.{index}"), item.used_at());
    }
}

/// Reports group members that are created after their group.
fn check_members(boot: &Boot<'_, '_>, created: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let users = document.get("users").and_then(Node::items).into_iter().flatten();
    let users: BTreeSet<_> = users.filter_map(|user| user.as_str().or_else(|| text(document, user, "name"))).collect();
    for (group, _, members) in groups(document) {
        let Some(members) = members else { continue };
        let items: Vec<Node<'_>> = members.items().map_or_else(|| vec![members], Iterator::collect);
        for item in items {
            for name in item.as_str().into_iter().flat_map(|names| names.split(',')).map(str::trim) {
                if !users.contains(name) || is_base_account(name) {
                    continue;
                }
                let message = format!(
                    "groups are created before users: {} does not become a member of {}",
                    quoted(name),
                    quoted(group)
                );
                let help = Some(format!("set `groups: [{}]` at the user instead", diagnostics::escape_control(group)));
                let mut found =
                    finding(&rules::GROUP_MEMBER_CREATED_LATER, "groups".into(), item.used_at(), message, help);
                found.related.extend(created.get(name).map(|place| (*place, "created here, later".to_string())));
                out.push(found);
            }
        }
    }
}

/// Reports passwords that cloud-init locks immediately, because `lock_passwd` defaults to true.
fn check_locked_passwords(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let get = |user: Node<'_>, keys: &[&str]| {
        keys.iter().find_map(|key| value::get(document.tree, user, key)).map(Node::used_at)
    };
    // Something else may unlock the password or set another one.
    let others = document.get("chpasswd").filter(|node| get(*node, &["users", "list"]).is_some());
    let is_unlocked = || {
        others.is_some()
            || document.get("password").is_some()
            || boot.all_commands().any(|(_, command)| matches!(command.program(), "passwd" | "chpasswd" | "usermod"))
    };
    for (index, user) in
        document.get("users").and_then(Node::items).into_iter().flatten().enumerate().take(MAX_COMPARED)
    {
        if get(user, &["lock_passwd", "lock-passwd"]).is_some() {
            out.extend(unlocked_without_password(document, index, user));
            continue;
        }
        let keys = ["passwd", "hashed_passwd", "hashed-passwd", "plain_text_passwd", "plain-text-passwd"];
        let found = keys.iter().find_map(|key| Some((*key, value::get(document.tree, user, key)?)));
        // `!` and `*` are not passwords.
        let Some((key, node)) = found
            .filter(|(_, node)| node.as_str().is_some_and(|text| !text.starts_with(['!', '*']) && !text.is_empty()))
        else {
            continue;
        };
        if is_unlocked() {
            return;
        }
        let message = "cloud-init locks the password immediately: it works neither for login nor for sudo".to_string();
        let help = Some("add `lock_passwd: false`, or remove the password and log in with SSH keys".into());
        out.push(finding(&rules::LOCKED_PASSWORD, format!("users.{index}.{key}"), node.used_at(), message, help));
    }
}

/// Reports a user's groups that are separated by spaces.
fn check_group_separators(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    for (index, user) in
        document.get("users").and_then(Node::items).into_iter().flatten().enumerate().take(MAX_COMPARED)
    {
        let Some(node) = value::get(document.tree, user, "groups") else { continue };
        let Some(groups) = node.as_str().filter(|text| !text.contains(['$', '{', '<'])) else { continue };
        let Some(name) = groups.split(',').map(str::trim).find(|name| name.contains(char::is_whitespace)) else {
            continue;
        };
        let message = format!("{} is a single name for cloud-init: separate groups by commas", quoted(name));
        let names: Vec<_> = groups.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty()).collect();
        let help = Some(format!("write `groups: [{}]`", diagnostics::escape_control(&names.join(", "))));
        out.push(finding(
            &rules::GROUPS_WITHOUT_COMMAS,
            format!("users.{index}.groups"),
            node.used_at(),
            message,
            help,
        ));
    }
}

/// A user that is to be unlocked, but has no password.
fn unlocked_without_password(document: &CloudConfig<'_>, index: usize, user: Node<'_>) -> Option<Diagnostic> {
    let lock = value::get(document.tree, user, "lock_passwd")?;
    let keys = [
        "passwd", "hashed_passwd", "hashed-passwd", "plain_text_passwd", "plain-text-passwd", "snapuser",
        "no_create_home",
    ];
    let has_password = keys.iter().any(|key| value::get(document.tree, user, key).is_some());
    let is_unlocked = matches!(lock.scalar(), Some(yaml11::Scalar::Bool(false)));
    if !is_unlocked || has_password {
        return None;
    }
    let message =
        "there is no password to unlock: since 24.3, cloud-init logs a warning, and `cloud-init status` is degraded";
    let help = Some("remove `lock_passwd`, or set `hashed_passwd`".into());
    let mut found =
        finding(&rules::LOCKED_PASSWORD, format!("users.{index}.lock_passwd"), lock.used_at(), message.into(), help);
    found.severity = diagnostics::Severity::Info;
    Some(found)
}

/// Reports names that the schema accepts, but no machine has.
fn check_names(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    let mut report = |path: String, node: Node<'_>, message: String, help: &str| {
        let mut found = finding(&rules::MALFORMED_VALUE, path, node.used_at(), message, Some(help.to_owned()));
        (found.origin, found.severity) = (diagnostics::Origin::Mkimg, diagnostics::Severity::Warning);
        out.push(found);
    };
    let is_replaced = |text: &str| text.contains(['$', '{', '<', '%']);
    if let Some(node) = document.get("timezone")
        && let Some(zone) = node.as_str().filter(|zone| !is_replaced(zone))
    {
        let is_offset =
            ["UTC", "GMT"].iter().any(|name| zone.strip_prefix(name).is_some_and(|rest| rest.starts_with(['+', '-'])));
        let is_offset = is_offset && !matches!(zone, "GMT+0" | "GMT-0");
        if zone.trim().contains(' ') || is_offset {
            let message = format!("there is no time zone {}: the module fails", quoted(zone));
            report(
                "timezone".into(),
                node,
                message,
                "write it as in `/usr/share/zoneinfo`, such as `America/New_York` or `Etc/UTC`",
            );
        }
    }
    for (index, user) in
        document.get("users").and_then(Node::items).into_iter().flatten().enumerate().take(MAX_COMPARED)
    {
        let Some(node) = value::get(document.tree, user, "name") else { continue };
        let Some(name) = node.as_str().filter(|name| !is_replaced(name) && name.trim().contains(' ')) else { continue };
        let message = format!("{} contains a blank, which `useradd` refuses: the user is not created", quoted(name));
        report(
            format!("users.{index}.name"),
            node,
            message,
            "write the login name here, and the full name under `gecos`",
        );
    }
}
