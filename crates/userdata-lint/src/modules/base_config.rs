//! Settings about modules and merging, which belong to no module.

use super::{V25_1, V25_2};
use crate::shape::Keyword::{Before, Closed, Enum, From, Items, MinItems, OneOf, Properties, Required, Type};
use crate::shape::{ANYTHING, LIST, Literal, STRING, Shape, Types, deprecated};

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
const MODULE_NAMES: &[Literal] = &[
    Literal::Str("ansible"),
    Literal::Str("apk-configure"),
    Literal::Str("apk_configure"),
    Literal::Str("apt-configure"),
    Literal::Str("apt_configure"),
    Literal::Str("apt-pipelining"),
    Literal::Str("apt_pipelining"),
    Literal::Str("bootcmd"),
    Literal::Str("byobu"),
    Literal::Str("ca-certs"),
    Literal::Str("ca_certs"),
    Literal::Str("chef"),
    Literal::Str("disable-ec2-metadata"),
    Literal::Str("disable_ec2_metadata"),
    Literal::Str("disk-setup"),
    Literal::Str("disk_setup"),
    Literal::Str("fan"),
    Literal::Str("final-message"),
    Literal::Str("final_message"),
    Literal::Str("growpart"),
    Literal::Str("grub-dpkg"),
    Literal::Str("grub_dpkg"),
    Literal::Str("install-hotplug"),
    Literal::Str("install_hotplug"),
    Literal::Str("keyboard"),
    Literal::Str("keys-to-console"),
    Literal::Str("keys_to_console"),
    Literal::Str("landscape"),
    Literal::Str("locale"),
    Literal::Str("lxd"),
    Literal::Str("mcollective"),
    Literal::Str("mounts"),
    Literal::Str("ntp"),
    Literal::Str("package-update-upgrade-install"),
    Literal::Str("package_update_upgrade_install"),
    Literal::Str("phone-home"),
    Literal::Str("phone_home"),
    Literal::Str("power-state-change"),
    Literal::Str("power_state_change"),
    Literal::Str("puppet"),
    Literal::Str("reset-rmc"),
    Literal::Str("reset_rmc"),
    Literal::Str("resizefs"),
    Literal::Str("resolv-conf"),
    Literal::Str("resolv_conf"),
    Literal::Str("rh-subscription"),
    Literal::Str("rh_subscription"),
    Literal::Str("rsyslog"),
    Literal::Str("runcmd"),
    Literal::Str("salt-minion"),
    Literal::Str("salt_minion"),
    Literal::Str("scripts-per-boot"),
    Literal::Str("scripts_per_boot"),
    Literal::Str("scripts-per-instance"),
    Literal::Str("scripts_per_instance"),
    Literal::Str("scripts-per-once"),
    Literal::Str("scripts_per_once"),
    Literal::Str("scripts-user"),
    Literal::Str("scripts_user"),
    Literal::Str("scripts-vendor"),
    Literal::Str("scripts_vendor"),
    Literal::Str("seed-random"),
    Literal::Str("seed_random"),
    Literal::Str("set-hostname"),
    Literal::Str("set_hostname"),
    Literal::Str("set-passwords"),
    Literal::Str("set_passwords"),
    Literal::Str("snap"),
    Literal::Str("spacewalk"),
    Literal::Str("ssh"),
    Literal::Str("ssh-authkey-fingerprints"),
    Literal::Str("ssh_authkey_fingerprints"),
    Literal::Str("ssh-import-id"),
    Literal::Str("ssh_import_id"),
    Literal::Str("timezone"),
    Literal::Str("ubuntu-advantage"),
    Literal::Str("ubuntu_advantage"),
    Literal::Str("ubuntu-autoinstall"),
    Literal::Str("ubuntu_autoinstall"),
    Literal::Str("ubuntu-drivers"),
    Literal::Str("ubuntu_drivers"),
    Literal::Str("update-etc-hosts"),
    Literal::Str("update_etc_hosts"),
    Literal::Str("update-hostname"),
    Literal::Str("update_hostname"),
    Literal::Str("users-groups"),
    Literal::Str("users_groups"),
    Literal::Str("wireguard"),
    Literal::Str("write-files"),
    Literal::Str("write_files"),
    Literal::Str("write-files-deferred"),
    Literal::Str("write_files_deferred"),
    Literal::Str("yum-add-repo"),
    Literal::Str("yum_add_repo"),
    Literal::Str("zypper-add-repo"),
    Literal::Str("zypper_add_repo"),
];

/// Modules added after 22.4, and after 25.1.
const RECENT: &[Literal] = &[Literal::Str("ubuntu_pro")];
const NEWEST: &[Literal] = &[Literal::Str("raspberry_pi"), Literal::Str("ubuntu_pro")];

/// Modules removed after 22.4.
const REMOVED: &[Literal] = &[
    Literal::Str("migrator"),
    Literal::Str("refresh-rmc-and-interface"),
    Literal::Str("refresh_rmc_and_interface"),
    Literal::Str("rightscale-userdata"),
    Literal::Str("rightscale_userdata"),
];

/// A module's name, or a list, which the schema does not describe for draft 4.
const MODULE_LIST: Shape = Shape(&[
    Type(Types::LIST),
    Items(Shape(&[
        Before(V25_1, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(REMOVED)]), LIST])),
        From(V25_1, &Before(V25_2, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(RECENT)]), LIST]))),
        From(V25_2, &OneOf(&[Shape(&[Enum(MODULE_NAMES)]), Shape(&[Enum(NEWEST)]), LIST])),
    ])),
]);

const SETTINGS: &[Literal] = &[
    Literal::Str("allow_delete"),
    Literal::Str("no_replace"),
    Literal::Str("replace"),
    Literal::Str("append"),
    Literal::Str("prepend"),
    Literal::Str("recurse_dict"),
    Literal::Str("recurse_list"),
    Literal::Str("recurse_array"),
    Literal::Str("recurse_str"),
];

const MERGER: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Required(&["name", "settings"]),
    Properties(&[
        ("name", Shape(&[Type(Types::STR), Enum(&[Literal::Str("list"), Literal::Str("dict"), Literal::Str("str")])])),
        ("settings", Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Enum(SETTINGS)]))])),
    ]),
]);

const MERGING: Shape =
    Shape(&[From(V25_1, &OneOf(&[STRING, Shape(&[Type(Types::LIST), MinItems(1), Items(MERGER)])]))]);
