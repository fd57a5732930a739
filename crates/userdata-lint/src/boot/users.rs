//! Users and groups that do not exist yet when something needs them.

use std::collections::{BTreeMap, BTreeSet};

use super::packages::{DEFAULT_USERS, is_base_account, packages_of_account, provides};
use super::{Boot, Document, MAX_COMPARED, text};
use crate::places::finding;
use crate::rules;
use crate::value;
use diagnostics::source::Span;
use diagnostics::{Diagnostic, quoted};
use yaml11::Node;

/// Keys whose modules may create any user or group.
const ACCOUNT_MANAGERS: &[&str] = &["ansible", "chef", "puppet", "salt_minion", "snap", "apt", "landscape"];

pub(super) fn check(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let made = created_accounts(boot.document);
    owners(boot, &made, out);
    passwords(boot, &made, out);
    members(boot, &made, out);
    locked(boot, out);
    groups_without_commas(boot, out);
}

/// Users and groups that the document creates, with the places of their names.
fn created_accounts<'t>(document: &Document<'t>) -> BTreeMap<&'t str, Span> {
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

/// Users and groups that do not exist before the document creates them, with the places of their names.
pub(crate) fn new_accounts<'t>(document: &Document<'t>) -> BTreeMap<&'t str, Span> {
    let mut out = created_accounts(document);
    out.retain(|name, _| !name.is_empty() && *name != "default" && !is_base_account(name));
    out
}

/// The groups under `groups`, each with its node and its members.
fn groups<'t>(document: &Document<'t>) -> Vec<(&'t str, Node<'t>, Option<Node<'t>>)> {
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

fn owners(boot: &Boot<'_, '_>, made: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let mut tries = 0;
    for file in document.files() {
        let Some(node) = value::get(document.tree, file.node, "owner") else { continue };
        let Some(owner) = node.as_str() else { continue };
        for name in owner.splitn(2, ':') {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) || name == "-1";
            if name.is_empty()
                || is_number
                || is_base_account(name)
                || made.contains_key(name)
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
            // A command of the boot may make it; what does so before files are written is `bootcmd` alone.
            let mentioned = boot.steps.iter().any(|step| {
                (file.deferred || step.stage == super::Stage::Bootcmd)
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
                        "{} is made by the package {}, which is installed after this file is written",
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
                        "where {} is the distribution's own user, it is made after this file is written",
                        quoted(name)
                    ),
                    "add `defer: true`",
                ),
                None => (
                    &rules::UNKNOWN_OWNER,
                    format!(
                        "no base image has {}, and nothing here makes it before this file is written",
                        quoted(name)
                    ),
                    "make it under `users` or `groups`, and add `defer: true`; or give the file away in `runcmd`",
                ),
            };
            out.push(file.finding(rule, "owner", node.used_at(), message, Some(help.into())));
            break;
        }
    }
}

/// Passwords for users that the document, which does list users, does not make.
fn passwords(boot: &Boot<'_, '_>, made: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    if document.get("users").and_then(Node::items).is_none() {
        return;
    }
    let unknown = |name: &str| {
        !(made.contains_key(name)
            || is_base_account(name)
            || DEFAULT_USERS.contains(&name)
            || name.contains(['{', '$']))
    };
    let mut report = |name: &str, path: String, place: Span| {
        let message = format!("there is no user {} to give a password: setting the passwords would fail", quoted(name));
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

/// Members of groups that `users` makes: groups come first.
fn members(boot: &Boot<'_, '_>, made: &BTreeMap<&str, Span>, out: &mut Vec<Diagnostic>) {
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
                    "groups are made before users: {} would not become a member of {}",
                    quoted(name),
                    quoted(group)
                );
                let help =
                    Some(format!("write `groups: [{}]` at the user instead", diagnostics::escape_control(group)));
                let mut found =
                    finding(&rules::GROUP_MEMBER_CREATED_LATER, "groups".into(), item.used_at(), message, help);
                found.related.extend(made.get(name).map(|place| (*place, "made here, later".to_string())));
                out.push(found);
            }
        }
    }
}

/// Users who get a password that cloud-init locks at once, as `lock_passwd` is true where it is left out.
fn locked(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    let get = |user: Node<'_>, keys: &[&str]| {
        keys.iter().find_map(|key| value::get(document.tree, user, key)).map(Node::used_at)
    };
    // Something else may unlock it, or give another one.
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
        let message =
            "the password is locked as soon as it is set: it works neither for login nor for sudo".to_string();
        let help = Some("add `lock_passwd: false`; or leave the password out, and log in with SSH keys".into());
        out.push(finding(&rules::LOCKED_PASSWORD, format!("users.{index}.{key}"), node.used_at(), message, help));
    }
}

/// Groups of a user that are separated by blanks.
fn groups_without_commas(boot: &Boot<'_, '_>, out: &mut Vec<Diagnostic>) {
    let document = boot.document;
    for (index, user) in
        document.get("users").and_then(Node::items).into_iter().flatten().enumerate().take(MAX_COMPARED)
    {
        let Some(node) = value::get(document.tree, user, "groups") else { continue };
        let Some(groups) = node.as_str().filter(|text| !text.contains(['$', '{', '<'])) else { continue };
        let Some(name) = groups.split(',').map(str::trim).find(|name| name.contains(char::is_whitespace)) else {
            continue;
        };
        let message = format!("{} is one name to cloud-init: groups are separated by commas", quoted(name));
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
