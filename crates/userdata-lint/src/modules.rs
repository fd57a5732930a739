//! The top-level keys of a cloud-config and the shapes of their values, grouped like cloud-init's
//! documentation. The tables are in `modules/`; the build script turns them into constants.
//!
//! To add a module, add its keys to the table of its group. `tests/differential` compares the tables with
//! cloud-init's schema of 22.4, 25.1 and 26.2: where a table says 25.1, a key may be older than that.

use super::shape::Shape;
use super::version::Version;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Since this version, unknown top-level keys are errors.
pub(crate) const CLOSED_TOP_LEVEL: Version = Version::new(25, 1);

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
