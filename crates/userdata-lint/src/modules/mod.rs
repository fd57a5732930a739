//! The top-level keys of a cloud-config and the shapes of their values, grouped like cloud-init's
//! documentation.
//!
//! To add a module, add its keys and their shapes to the `KEYS` of its group. `tests/differential`
//! compares the tables with cloud-init's schema.

mod base_config;
mod boot;
mod config_management;
mod network;
mod packages;
mod storage;
mod system;
mod ubuntu;
mod users;

use super::shape::Shape;
use super::version::Version;

/// In 25.1 but not in 22.4. The tables do not tell in which release between them a key was added.
const V25_1: Version = Version::new(25, 1);
/// In 26.2 but not in 25.1; cloud-init documents the version.
const V25_2: Version = Version::new(25, 2);
const V25_3: Version = Version::new(25, 3);

/// Since this version, unknown top-level keys are errors.
pub(crate) const CLOSED_TOP_LEVEL: Version = V25_1;

/// The top-level keys of all groups.
static GROUPS: &[&[(&str, Shape)]] = &[
    base_config::KEYS,
    boot::KEYS,
    config_management::KEYS,
    network::KEYS,
    packages::KEYS,
    storage::KEYS,
    system::KEYS,
    ubuntu::KEYS,
    users::KEYS,
];

/// All top-level keys with their shapes.
pub(crate) fn keys() -> impl Iterator<Item = (&'static str, Shape)> {
    GROUPS.iter().copied().flatten().copied()
}

/// The shape of a top-level key, if any version knows it.
pub(crate) fn top_level(key: &str) -> Option<Shape> {
    keys().find(|(name, _)| *name == key).map(|(_, shape)| shape)
}

/// The top-level keys of a version that no version deprecates.
pub(crate) fn current_keys(version: Version) -> Vec<&'static str> {
    let known = keys().filter(|(_, shape)| super::schema::is_known(*shape, version));
    known.filter(|(_, shape)| !shape.is_deprecated()).map(|(name, _)| name).collect()
}

/// The help for an unknown top-level key without a similar known one.
pub(crate) fn hint(key: &str) -> &'static str {
    match key {
        "network" => "network configuration is not part of user-data: the provider or /etc/cloud/cloud.cfg.d sets it",
        "datasource" | "datasource_list" => "data sources are set in /etc/cloud/cloud.cfg.d, not in user-data",
        "sudo" | "shell" | "gecos" | "passwd" | "hashed_passwd" | "plain_text_passwd" | "lock_passwd"
        | "primary_group" | "homedir" => "it is a key of a user: write it at one of `users`",
        "local-hostname" | "instance-id" | "public-keys" => {
            "it is a key of meta-data: user-data has `hostname` and `ssh_authorized_keys`"
        }
        "repo_update" | "repo_upgrade" | "repo_upgrade_exclude" => {
            "only the cloud-init of Amazon Linux reads it: everywhere else it is `package_update` and `package_upgrade`"
        }
        "debconf_selections" | "preserve_sources_list" | "add_apt_repo_match" | "sources_list" | "primary" => {
            "it is a key of `apt`: write it below `apt:`"
        }
        "coreos" => "only Flatcar and Container Linux read it: for cloud-init, write `write_files` and `runcmd`",
        _ if key.starts_with("x-") => "cloud-init accepts no extra keys for anchors: put the anchor at its first use",
        _ => "remove it, or fix its spelling: cloud-init ignores keys that it does not know",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shape::Keyword;

    #[test]
    fn keys_are_listed_once() {
        let keys: Vec<_> = keys().map(|(name, _)| name).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }

    /// The new name of a renamed key must be in the same table.
    #[test]
    fn new_names_exist() {
        fn visit(shape: Shape, siblings: &dyn Fn(&str) -> bool) {
            for keyword in shape.0 {
                let keyword = if let Keyword::From(_, keyword) | Keyword::Before(_, keyword) = keyword {
                    keyword
                } else {
                    keyword
                };
                match keyword {
                    Keyword::Deprecated(note) | Keyword::Changed(note) => {
                        if let crate::shape::Instead::Key(new) = note.instead {
                            assert!(siblings(new), "{new} is not known");
                        }
                    }
                    Keyword::Properties(properties) => {
                        for (_, property) in *properties {
                            visit(*property, &|name| properties.iter().any(|(known, _)| *known == name));
                        }
                    }
                    Keyword::Items(shape) | Keyword::Also(shape) | Keyword::Additional(shape) => {
                        visit(*shape, siblings);
                    }
                    Keyword::OneOf(shapes) | Keyword::AnyOf(shapes) => {
                        shapes.iter().for_each(|shape| visit(*shape, siblings));
                    }
                    _ => {}
                }
            }
        }
        for (_, shape) in keys() {
            visit(shape, &|name| top_level(name).is_some());
        }
    }
}
