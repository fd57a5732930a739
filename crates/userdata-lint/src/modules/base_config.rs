//! Settings about modules and merging, which belong to no module.

use super::{V25_1, V25_2};
use crate::shape::Keyword::{Before, Closed, Enum, From, Items, MinItems, OneOf, Properties, Required, Type};
use crate::shape::{ANYTHING, LIST, Literal, STRING, Shape, Types, deprecated, words};

pub(super) const KEYS: &[(&str, Shape)] = &[
    ("cloud_init_modules", MODULE_LIST),
    ("cloud_config_modules", MODULE_LIST),
    ("cloud_final_modules", MODULE_LIST),
    ("launch-index", Shape(&[From(V25_1, &Type(Types::INT))])),
    ("merge_how", MERGING),
    ("merge_type", MERGING),
    (
        "system_info",
        Shape(&[
            From(V25_1, &Type(Types::MAP)),
            From(V25_1, &deprecated("24.2", "set it in /etc/cloud/cloud.cfg.d, not in user-data")),
        ]),
    ),
    // Their values are not checked.
    ("migrate", Shape(&[Before(V25_1, &Type(Types::BOOL))])),
    ("version", ANYTHING),
];

/// Modules of both 22.4 and the latest version.
const MODULE_NAMES: &[Literal] = &words([
    "ansible", "apk-configure", "apk_configure", "apt-configure", "apt_configure", "apt-pipelining", "apt_pipelining",
    "bootcmd", "byobu", "ca-certs", "ca_certs", "chef", "disable-ec2-metadata", "disable_ec2_metadata", "disk-setup",
    "disk_setup", "fan", "final-message", "final_message", "growpart", "grub-dpkg", "grub_dpkg", "install-hotplug",
    "install_hotplug", "keyboard", "keys-to-console", "keys_to_console", "landscape", "locale", "lxd", "mcollective",
    "mounts", "ntp", "package-update-upgrade-install", "package_update_upgrade_install", "phone-home", "phone_home",
    "power-state-change", "power_state_change", "puppet", "reset-rmc", "reset_rmc", "resizefs", "resolv-conf",
    "resolv_conf", "rh-subscription", "rh_subscription", "rsyslog", "runcmd", "salt-minion", "salt_minion",
    "scripts-per-boot", "scripts_per_boot", "scripts-per-instance", "scripts_per_instance", "scripts-per-once",
    "scripts_per_once", "scripts-user", "scripts_user", "scripts-vendor", "scripts_vendor", "seed-random",
    "seed_random", "set-hostname", "set_hostname", "set-passwords", "set_passwords", "snap", "spacewalk", "ssh",
    "ssh-authkey-fingerprints", "ssh_authkey_fingerprints", "ssh-import-id", "ssh_import_id", "timezone",
    "ubuntu-advantage", "ubuntu_advantage", "ubuntu-autoinstall", "ubuntu_autoinstall", "ubuntu-drivers",
    "ubuntu_drivers", "update-etc-hosts", "update_etc_hosts", "update-hostname", "update_hostname", "users-groups",
    "users_groups", "wireguard", "write-files", "write_files", "write-files-deferred", "write_files_deferred",
    "yum-add-repo", "yum_add_repo", "zypper-add-repo", "zypper_add_repo",
]);

/// Modules added after 22.4, and after 25.1.
const RECENT: &[Literal] = &words(["ubuntu_pro"]);
const NEWEST: &[Literal] = &words(["raspberry_pi", "ubuntu_pro"]);

/// Modules removed after 22.4.
const REMOVED: &[Literal] = &words([
    "migrator", "refresh-rmc-and-interface", "refresh_rmc_and_interface", "rightscale-userdata", "rightscale_userdata",
]);

/// A module's name, or a list, which the schema does not describe for draft 4.
const MODULE_LIST: Shape = Shape(&[
    Type(Types::LIST),
    Items(Shape(&[
        Before(V25_1, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(REMOVED)]), LIST])),
        From(V25_1, &Before(V25_2, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(RECENT)]), LIST]))),
        From(V25_2, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(NEWEST)]), LIST])),
    ])),
]);

const SETTINGS: &[Literal] = &words([
    "allow_delete", "no_replace", "replace", "append", "prepend", "recurse_dict", "recurse_list", "recurse_array",
    "recurse_str",
]);

const MERGER: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Required(&["name", "settings"]),
    Properties(&[
        ("name", Shape(&[Type(Types::STR), Enum(&words(["list", "dict", "str"]))])),
        ("settings", Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Enum(SETTINGS)]))])),
    ]),
]);

const MERGING: Shape =
    Shape(&[From(V25_1, &OneOf(&[STRING, Shape(&[Type(Types::LIST), MinItems(1), Items(MERGER)])]))]);
