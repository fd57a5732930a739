//! One file for each cloud-config module, named as cloud-init names it: a declarative table of its keys, and checks that a
//! table cannot make.
//!
//! To add a module, add a file with a `MODULE` and its two lines below.

mod ansible;
mod apk_configure;
mod apt_configure;
mod apt_pipelining;
mod base_config;
mod bootcmd;
mod byobu;
mod ca_certs;
mod chef;
mod disable_ec2_metadata;
mod disk_setup;
mod fan;
mod final_message;
mod growpart;
mod grub_dpkg;
mod install_hotplug;
mod keyboard;
mod keys_to_console;
mod landscape;
mod locale;
mod lxd;
mod mcollective;
mod mounts;
mod ntp;
mod output_and_reporting;
mod package_update_upgrade_install;
mod phone_home;
mod power_state_change;
mod puppet;
mod raspberry_pi;
mod resizefs;
mod resolv_conf;
mod rh_subscription;
mod rsyslog;
mod runcmd;
mod salt_minion;
mod scripts_vendor;
mod seed_random;
mod set_hostname;
mod set_passwords;
mod snap;
mod spacewalk;
mod ssh;
mod ssh_authkey_fingerprints;
mod ssh_import_id;
mod timezone;
mod ubuntu_autoinstall;
mod ubuntu_drivers;
mod ubuntu_pro;
mod update_etc_hosts;
mod users_groups;
mod wireguard;
pub(crate) mod write_files;
mod yum_add_repo;
mod zypper_add_repo;

use super::Document;
use super::shape::Shape;
use super::version::Version;
use diagnostics::Diagnostic;

/// Found in 25.1 and not in 22.4: of what came between the two, the tables do not tell when.
const V25_1: Version = Version::new(25, 1);
/// Found in 26.2 and not in 25.1; cloud-init dates it itself.
const V25_2: Version = Version::new(25, 2);
const V25_3: Version = Version::new(25, 3);

/// A cloud-config module: the top-level keys that it reads.
#[derive(Debug)]
pub(crate) struct Module {
    /// cloud-init's name without `cc_`.
    #[allow(dead_code, reason = "the registry's test reads it")]
    pub name: &'static str,
    pub keys: &'static [(&'static str, Shape)],
    pub lint: Option<Lint>,
}

/// Checks of ours on a document that has at least one of the module's keys.
pub(crate) type Lint = fn(&Document<'_>, &mut Vec<Diagnostic>);

impl Module {
    const fn new(name: &'static str, keys: &'static [(&'static str, Shape)]) -> Self {
        Self { name, keys, lint: None }
    }

    const fn with_lint(mut self, lint: Lint) -> Self {
        self.lint = Some(lint);
        self
    }
}

/// From this version on, unknown top-level keys are errors.
pub(crate) const CLOSED_TOP_LEVEL: Version = V25_1;

/// All modules, by name.
static MODULES: &[&Module] = &[
    &ansible::MODULE,
    &apk_configure::MODULE,
    &apt_configure::MODULE,
    &apt_pipelining::MODULE,
    &base_config::MODULE,
    &bootcmd::MODULE,
    &byobu::MODULE,
    &ca_certs::MODULE,
    &chef::MODULE,
    &disable_ec2_metadata::MODULE,
    &disk_setup::MODULE,
    &fan::MODULE,
    &final_message::MODULE,
    &growpart::MODULE,
    &grub_dpkg::MODULE,
    &install_hotplug::MODULE,
    &keyboard::MODULE,
    &keys_to_console::MODULE,
    &landscape::MODULE,
    &locale::MODULE,
    &lxd::MODULE,
    &mcollective::MODULE,
    &mounts::MODULE,
    &ntp::MODULE,
    &output_and_reporting::MODULE,
    &package_update_upgrade_install::MODULE,
    &phone_home::MODULE,
    &power_state_change::MODULE,
    &puppet::MODULE,
    &raspberry_pi::MODULE,
    &resizefs::MODULE,
    &resolv_conf::MODULE,
    &rh_subscription::MODULE,
    &rsyslog::MODULE,
    &runcmd::MODULE,
    &salt_minion::MODULE,
    &scripts_vendor::MODULE,
    &seed_random::MODULE,
    &set_hostname::MODULE,
    &set_passwords::MODULE,
    &snap::MODULE,
    &spacewalk::MODULE,
    &ssh::MODULE,
    &ssh_authkey_fingerprints::MODULE,
    &ssh_import_id::MODULE,
    &timezone::MODULE,
    &ubuntu_autoinstall::MODULE,
    &ubuntu_drivers::MODULE,
    &ubuntu_pro::MODULE,
    &update_etc_hosts::MODULE,
    &users_groups::MODULE,
    &wireguard::MODULE,
    &write_files::MODULE,
    &yum_add_repo::MODULE,
    &zypper_add_repo::MODULE,
];

pub(crate) fn all() -> impl Iterator<Item = &'static Module> {
    MODULES.iter().copied()
}

/// The shape of what stands under a top-level key, if any version knows the key.
pub(crate) fn top_level(key: &str) -> Option<Shape> {
    all().flat_map(|module| module.keys).find(|(name, _)| *name == key).map(|(_, shape)| *shape)
}

/// The top-level keys that a version knows and that are not going away.
pub(crate) fn current_keys(version: Version) -> Vec<&'static str> {
    let known = all().flat_map(|module| module.keys).filter(|(_, shape)| super::check::is_known(*shape, version));
    known.filter(|(_, shape)| !shape.is_deprecated()).map(|(name, _)| *name).collect()
}

/// What to do about an unknown top-level key that is like no known one.
pub(crate) fn hint(key: &str) -> &'static str {
    match key {
        "network" => "network configuration is no part of user-data: the provider or /etc/cloud/cloud.cfg.d sets it",
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
        _ if key.starts_with("x-") => "cloud-init knows no keys for anchors: put the anchor at its first use",
        _ => "remove it, or correct its spelling: cloud-init ignores keys that it does not know",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::shape::Keyword;

    #[test]
    fn modules_are_sorted_and_keys_are_listed_once() {
        let names: Vec<_> = all().map(|module| module.name).collect();
        assert!(names.is_sorted());
        let keys: Vec<_> = all().flat_map(|module| module.keys).map(|(name, _)| *name).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }

    /// A renamed key's new name must be known beside it.
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
        for (_, shape) in all().flat_map(|module| module.keys) {
            visit(*shape, &|name| top_level(name).is_some());
        }
    }
}
