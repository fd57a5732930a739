//! Whether the names in a template and in its project belong together: attributes, scripts,
//! services, and what no key names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use diagnostics::closest;

use super::collect::without_dot;
use super::error::{TreeError, TreeFault};
use super::files::{FilePath, is_temporary, read_text};
use super::project::templates_in;
use crate::model::{FileTree, ImageSpec};

/// Units of every Debian and Ubuntu with cloud-init.
const BASE_UNITS: &[&str] = &[
    "cron", "dbus", "getty", "networking", "networkd-dispatcher", "rsyslog", "serial-getty", "ssh", "sshd", "udev",
    "unattended-upgrades", "qemu-guest-agent", "apparmor", "polkit", "snapd", "multi-user", "network-online",
    "droplet-agent", "do-agent",
];

/// Packages whose unit has another name.
const UNITS_OF_PACKAGES: &[(&str, &str)] = &[
    ("bind9", "named"),
    ("nfs-kernel-server", "nfs-server"),
    ("ntpsec", "ntp"),
    ("iptables-persistent", "netfilter-persistent"),
    ("postfix", "postfix"),
    ("percona", "mysql"),
    ("mariadb", "mysql"),
    ("rabbitmq", "epmd"),
    ("samba", "smbd"),
    ("samba", "nmbd"),
    ("openvpn", "openvpn-server"),
    ("wireguard", "wg-quick"),
    ("avahi", "avahi"),
    ("docker", "containerd"),
];

/// Checks the keys that name something of the project, and sets the script after which files are
/// placed to its name.
pub(super) fn check(spec: &ImageSpec, tree: &mut FileTree, faults: &mut Vec<TreeFault>, warnings: &mut Vec<TreeFault>) {
    let artifacts = spec.artifacts.iter().flat_map(|artifact| {
        artifact.to.iter().chain(artifact.unpack.values().map(|placed| &placed.to)).map(String::as_str)
    });
    let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).chain(artifacts).collect();
    for (index, attributes) in spec.attributes.iter().enumerate() {
        // A glob that is not valid is an error of the plan.
        let glob = globset::GlobBuilder::new(&attributes.path).literal_separator(true).build();
        let Ok(glob) = glob.map(|glob| glob.compile_matcher()) else { continue };
        if !paths.iter().any(|path| glob.is_match(path)) {
            let meant = closest(&attributes.path, paths.iter().copied()).map(str::to_owned);
            let error = TreeError::UnmatchedAttributes { glob: attributes.path.clone(), meant };
            faults.push(TreeFault { key: format!("attributes.{index}.path"), error });
        }
    }
    for (index, files) in spec.files.iter().enumerate() {
        let Some(after) = files.after.as_deref().map(without_dot) else { continue };
        let names = |script: &crate::model::Script| script.source == after || script.name == after;
        match tree.scripts.iter().find(|script| names(script)) {
            Some(script) => {
                let placed = tree.files.iter_mut().filter(|file| file.after == files.after);
                placed.for_each(|file| file.after = Some(script.name.clone()));
            }
            None => {
                let meant = closest(after, tree.scripts.iter().map(|script| script.source.as_str())).map(str::to_owned);
                let error = TreeError::UnknownScript { script: after.to_owned(), meant };
                faults.push(TreeFault { key: format!("files.{index}.after"), error });
            }
        }
    }
    let units: Vec<&str> = tree
        .files
        .iter()
        .filter(|file| file.path.contains("/systemd/"))
        .filter_map(|file| file.path.rsplit('/').next())
        .collect();
    for (index, unit) in spec.verify.services.iter().enumerate() {
        if !is_provided(unit, &units, spec, tree) {
            let of_packages: Vec<String> = spec.packages.iter().map(|package| format!("{package}.service")).collect();
            let known = units.iter().copied().chain(of_packages.iter().map(String::as_str));
            let error =
                TreeError::UnknownService { unit: unit.clone(), meant: closest(unit, known).map(str::to_owned) };
            warnings.push(TreeFault { key: format!("verify.services.{index}"), error });
        }
    }
}

/// A unit's name without instance and ending.
fn stem(unit: &str) -> &str {
    unit.split(['@', '.']).next().unwrap_or_default()
}

/// Whether a file, a package, an artifact or the base image may provide a unit, or a script create it.
fn is_provided(unit: &str, units: &[&str], spec: &ImageSpec, tree: &FileTree) -> bool {
    let name = stem(unit);
    let is_of_package = |package: &String| {
        let is_similar =
            package.contains(name) || (name.len() > 2 && package.len() > 2 && name.contains(package.as_str()));
        is_similar || UNITS_OF_PACKAGES.iter().any(|(start, unit)| package.starts_with(start) && name.starts_with(unit))
    };
    let members = || spec.artifacts.iter().flat_map(|artifact| artifact.unpack.keys());
    name.is_empty()
        || name.starts_with("systemd-")
        || name.starts_with("cloud-")
        || BASE_UNITS.contains(&name)
        || units.iter().any(|unit| stem(unit) == name)
        || spec.packages.iter().any(is_of_package)
        || members().any(|member| member.ends_with('/'))
        || spec.artifacts.iter().any(|artifact| artifact.url.contains(name))
        || tree
            .scripts
            .iter()
            .chain(&tree.cleanup)
            .any(|script| String::from_utf8_lossy(&script.content).contains(name))
        || spec.cloud_config.values().any(|value| format!("{value:?}").contains(name))
}

/// Finds scripts and directories beside those that the template names, which no template names.
pub(super) fn find_not_named(root: &Path, spec: &ImageSpec, tree: &FileTree, warnings: &mut Vec<TreeFault>) {
    let scripts: BTreeSet<&str> =
        tree.scripts.iter().chain(&tree.cleanup).chain(&tree.check).map(|script| script.source.as_str()).collect();
    let sources: Vec<&str> = spec.files.iter().map(|files| without_dot(&files.source).trim_end_matches('/')).collect();
    let parents = |paths: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        paths.filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned())).collect()
    };
    let is_script = |path: &str| {
        let begins = |text: String| text.starts_with("#!");
        !scripts.contains(path) && read_text(&FilePath::inside(root, path)).is_ok_and(begins)
    };
    let is_source = |path: &str| !sources.iter().any(|source| contains(source, path) || contains(path, source));
    let mut found = Vec::new();
    for directory in parents(&mut scripts.iter().copied()) {
        found.extend(children(root, &directory).filter(|path| is_script(path)).map(|path| (path, "scripts")));
    }
    for directory in parents(&mut sources.iter().copied()) {
        // A source within another one has its siblings in the image already.
        let is_within = sources.iter().any(|source| contains(source, &directory));
        found.extend(
            children(root, &directory).filter(|path| !is_within && is_source(path)).map(|path| (path, "files")),
        );
    }
    if found.is_empty() {
        return;
    }
    let templates = templates_in(&root.join("templates")).unwrap_or_default();
    let texts: Vec<String> = templates.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    for (path, key) in found {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        // Another template may name it: by its path, or with a glob.
        let is_named = texts.iter().any(|text| text.contains(&path))
            || texts.len() > 1 && texts.iter().filter(|text| text.contains(&format!("{directory}/*"))).count() > 1;
        if !is_named {
            warnings.push(TreeFault { key: key.to_owned(), error: TreeError::NotNamed { path, key } });
        }
    }
}

/// Whether a path is a directory that contains another path, or is equal to it.
fn contains(directory: &str, path: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The paths of what is in a directory, hidden and temporary files aside.
fn children(root: &Path, directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
    let names = entries
        .filter(|entry| !is_temporary(&entry.file_name()))
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    let directory = directory.to_owned();
    names.into_iter().map(move |name| format!("{directory}/{name}"))
}
