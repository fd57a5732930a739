//! Lists of modules in user-data. Such a list replaces the stage of the base image, and the modules
//! that it lacks do not run.

use super::steps::is_true;
use crate::cloud_config::CloudConfig;
use crate::places::finding;
use crate::rules;
use crate::value;
use diagnostics::{Diagnostic, quoted};
use yaml11::{Node, Scalar};

const INIT: usize = 0;
const CONFIG: usize = 1;
const FINAL: usize = 2;
/// The keys of the stages, and their names.
const STAGES: [(&str, &str); 3] =
    [("cloud_init_modules", "init"), ("cloud_config_modules", "config"), ("cloud_final_modules", "final")];

/// A module, the stages where distributions run it, and the keys that it reads. The host name is
/// missing, because cloud-init also sets it outside of the stages.
const MODULES: &[(&str, &[usize], &[&str])] = &[
    ("bootcmd", &[INIT], &["bootcmd"]),
    ("write_files", &[INIT], &["write_files"]),
    ("growpart", &[INIT], &["growpart"]),
    ("disk_setup", &[INIT], &["disk_setup", "fs_setup"]),
    ("mounts", &[INIT], &["mounts", "swap"]),
    ("update_etc_hosts", &[INIT], &["manage_etc_hosts"]),
    ("ca_certs", &[INIT], &["ca_certs", "ca-certs"]),
    ("rsyslog", &[INIT], &["rsyslog"]),
    ("users_groups", &[INIT], &["users", "user", "groups"]),
    ("ssh", &[INIT], &["ssh_authorized_keys", "ssh_keys", "disable_root", "ssh_deletekeys", "ssh_genkeytypes"]),
    ("set_passwords", &[INIT, CONFIG], &["chpasswd", "password", "ssh_pwauth"]),
    ("snap", &[CONFIG], &["snap"]),
    ("ssh_import_id", &[CONFIG], &["ssh_import_id"]),
    ("keyboard", &[CONFIG], &["keyboard"]),
    ("locale", &[CONFIG], &["locale"]),
    ("apt_configure", &[CONFIG], &["apt"]),
    ("yum_add_repo", &[CONFIG], &["yum_repos"]),
    ("ntp", &[CONFIG], &["ntp"]),
    ("timezone", &[CONFIG], &["timezone"]),
    ("wireguard", &[INIT, CONFIG], &["wireguard"]),
    ("runcmd", &[CONFIG], &["runcmd"]),
    ("package_update_upgrade_install", &[FINAL], &["packages", "package_update", "package_upgrade"]),
    ("landscape", &[FINAL], &["landscape"]),
    ("lxd", &[FINAL], &["lxd"]),
    ("puppet", &[FINAL], &["puppet"]),
    ("chef", &[FINAL], &["chef"]),
    ("mcollective", &[FINAL], &["mcollective"]),
    ("salt_minion", &[FINAL], &["salt_minion"]),
    ("ansible", &[CONFIG, FINAL], &["ansible"]),
    // It runs the script that the module `runcmd` writes.
    ("scripts_user", &[FINAL], &["runcmd"]),
    ("phone_home", &[FINAL], &["phone_home"]),
    ("final_message", &[FINAL], &["final_message"]),
    ("power_state_change", &[FINAL], &["power_state"]),
];

pub(super) fn check(document: &CloudConfig<'_>, out: &mut Vec<Diagnostic>) {
    // The lists may be merged with those of the image.
    if ["merge_how", "merge_type"].iter().any(|key| document.get(key).is_some()) {
        return;
    }
    let Some((lists, listed)) = module_lists(document) else { return };
    for (stage, (key, name)) in STAGES.iter().enumerate() {
        let Some(modules) = lists[stage] else { continue };
        let lost = lost_keys(document, stage, &lists, &listed);
        let Some(((first, module), rest)) = lost.split_first() else { continue };
        let names = rest.iter().enumerate().fold(quoted(first), |text, (index, (key, _))| {
            let separator = if index + 1 == rest.len() { " and " } else { ", " };
            format!("{text}{separator}{}", quoted(key))
        });
        let verb = if rest.is_empty() { "has" } else { "have" };
        let message = format!("the list replaces the whole {name} stage, so {names} {verb} no effect");
        let mut help = format!("remove the list, or add every module that the document needs, such as `{module}`");
        if stage == FINAL {
            help.push_str("; to run a script at every boot, write it to `/var/lib/cloud/scripts/per-boot/`");
        }
        let place = key_place(document, key).unwrap_or_else(|| modules.used_at());
        let mut found = finding(&rules::REPLACED_MODULE_LIST, (*key).to_owned(), place, message, Some(help));
        for (key, _) in &lost {
            let place = key_place(document, key.split('[').next().unwrap_or(key));
            found.related.extend(place.map(|place| (place, "has no effect".to_owned())));
        }
        out.push(found);
    }
}

/// The lists of modules, and the names in all of them; `None` if there are none, or if a name is unknown.
fn module_lists<'t>(document: &CloudConfig<'t>) -> Option<([Option<Node<'t>>; 3], Vec<String>)> {
    let lists = STAGES.map(|(key, _)| document.get(key));
    let mut listed = Vec::new();
    for list in lists.into_iter().flatten() {
        for item in list.items()? {
            listed.push(module_name(document, item)?);
        }
    }
    lists.iter().any(Option::is_some).then_some((lists, listed))
}

/// The list of modules in one part that a key of another part needs: the key of the list, the name of
/// its stage, and the key that has no effect.
pub(crate) fn lost_in_part(
    list: &CloudConfig<'_>,
    other: &CloudConfig<'_>,
) -> Option<(&'static str, &'static str, &'static str)> {
    if STAGES.iter().any(|(key, _)| other.get(key).is_some()) {
        return None;
    }
    let (lists, listed) = module_lists(list)?;
    STAGES.iter().enumerate().find_map(|(stage, (key, name))| {
        // The part itself has a finding already.
        if !lost_keys(list, stage, &lists, &listed).is_empty() {
            return None;
        }
        Some((*key, *name, lost_keys(other, stage, &lists, &listed).first()?.0))
    })
}

/// The name of a module in a list: a string, `[name, frequency]`, or a mapping with `name`. Without
/// the prefix `cc_`, and with `_` for `-`.
fn module_name(document: &CloudConfig<'_>, item: Node<'_>) -> Option<String> {
    let name = item.as_str().or_else(|| item.items()?.next()?.as_str());
    let name = name.or_else(|| value::get(document.tree, item, "name")?.as_str())?;
    if name.contains(['$', '{', '<']) {
        return None;
    }
    let name = name.trim().replace('-', "_");
    Some(name.strip_prefix("cc_").unwrap_or(&name).to_owned())
}

/// The keys of the document without effect because their modules are missing in the list of a
/// stage, and the modules. For a module with several possible stages, all of them must be replaced.
fn lost_keys(
    document: &CloudConfig<'_>,
    stage: usize,
    lists: &[Option<Node<'_>>; 3],
    listed: &[String],
) -> Vec<(&'static str, &'static str)> {
    let mut lost = Vec::new();
    let is_replaced = |stages: &&[usize]| stages.iter().all(|stage| lists[*stage].is_some());
    for (module, stages, keys) in MODULES.iter().filter(|(_, stages, _)| is_replaced(stages)) {
        if stages.last() != Some(&stage) || listed.iter().any(|name| name == module) {
            continue;
        }
        for key in *keys {
            let used = document.get(key).is_some_and(|node| is_used(document, key, node));
            if used && !lost.iter().any(|(known, _)| known == key) {
                lost.push((*key, *module));
            }
        }
    }
    let deferred = document.files().iter().any(|file| file.deferred);
    if stage == FINAL && lists[FINAL].is_some() && deferred && !listed.iter().any(|name| name == "write_files_deferred")
    {
        lost.push(("write_files[].defer", "write_files_deferred"));
    }
    lost
}

/// Whether a key asks for anything.
fn is_used(document: &CloudConfig<'_>, key: &str, node: Node<'_>) -> bool {
    if matches!(node.scalar(), Some(Scalar::Null | Scalar::Bool(false))) {
        return false;
    }
    if key == "write_files" {
        let mut items = node.items().into_iter().flatten();
        return items.any(|item| !is_true(document, item, "defer"));
    }
    node.items().is_none_or(|mut items| items.next().is_some())
}

fn key_place(document: &CloudConfig<'_>, key: &str) -> Option<diagnostics::source::Span> {
    let mut entries = document.root.entries()?;
    entries.find(|(name, _)| name.as_str() == Some(key)).map(|(name, _)| name.used_at())
}
