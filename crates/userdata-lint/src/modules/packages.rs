//! Package managers, their sources, and certificate authorities.

use super::{V25_1, V25_3};
use crate::pattern::{NOT_EMPTY, YUM_OPTION, YUM_REPOSITORY};
use crate::shape::Keyword::{
    Additional, Also, AnyOf, Before, Closed, Enum, From, Items, MaxItems, MinItems, MinProperties, NotTogether, OneOf,
    PatternProperties, Properties, Required, Since, Type, Unique,
};
use crate::shape::{
    BOOLEAN, COMMAND_TEXT_FIRST, INTEGER, Literal, MAPPING, SOME_STRINGS, STRING, Shape, Types, deprecated, renamed,
    words,
};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_apk_configure`: Alpine's package repositories.
    (
        "apk_repos",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("preserve_repositories", BOOLEAN), ("alpine_repo", ALPINE), ("local_repo_base_url", STRING)]),
        ]),
    ),
    // `cc_apt_configure`: apt's sources, proxies, preferences and debconf answers.
    ("apt", APT),
    // `cc_apt_pipelining`: apt's HTTP pipelining.
    (
        "apt_pipelining",
        Shape(&[OneOf(&[
            INTEGER,
            BOOLEAN,
            Shape(&[
                Type(Types::STR),
                OneOf(&[
                    Shape(&[Enum(&words(["os"]))]),
                    Shape(&[From(V25_1, &deprecated("22.4", "write `os`")), Enum(WORDS)]),
                ]),
            ]),
        ])]),
    ),
    // `cc_ca_certs`: Certificate authorities that the machine trusts.
    ("ca_certs", CERTIFICATES),
    ("ca-certs", Shape(&[Also(CERTIFICATES), renamed("22.3", "ca_certs")])),
    // `cc_package_update_upgrade_install`: Package lists, upgrades and packages.
    ("packages", Shape(&[Type(Types::LIST), Items(ITEM), MinItems(1)])),
    ("package_update", BOOLEAN),
    ("package_upgrade", BOOLEAN),
    ("package_reboot_if_required", BOOLEAN),
    ("apt_update", Shape(&[Type(Types::BOOL), renamed("22.2", "package_update")])),
    ("apt_upgrade", Shape(&[Type(Types::BOOL), renamed("22.2", "package_upgrade")])),
    ("apt_reboot_if_required", Shape(&[Type(Types::BOOL), renamed("22.2", "package_reboot_if_required")])),
    // `cc_rh_subscription`: Red Hat's subscription manager.
    ("rh_subscription", REGISTRATION),
    // `cc_snap`: Snaps: assertions and commands.
    (
        "snap",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("assertions", ASSERTIONS), ("commands", COMMANDS)]),
        ]),
    ),
    // `cc_yum_add_repo`: yum's repositories.
    ("yum_repo_dir", STRING),
    ("yum_repos", Shape(&[Type(Types::MAP), MinProperties(1), Closed, PatternProperties(YUM_REPOSITORY, REPOSITORY)])),
    // `cc_zypper_add_repo`: zypper's repositories.
    (
        "zypper",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Properties(&[
                (
                    "repos",
                    Shape(&[
                        Type(Types::LIST),
                        Items(Shape(&[
                            Type(Types::MAP),
                            Properties(&[("id", STRING), ("baseurl", STRING)]),
                            Required(&["id", "baseurl"]),
                        ])),
                        MinItems(1),
                    ]),
                ),
                ("config", MAPPING),
            ]),
        ]),
    ),
];

const ALPINE: Shape = Shape(&[
    Type(Types::MAP.or(Types::NULL)),
    Closed,
    Properties(&[
        ("base_url", STRING),
        ("community_enabled", BOOLEAN),
        ("testing_enabled", BOOLEAN),
        ("version", STRING),
    ]),
    Required(&["version"]),
    MinProperties(1),
]);

const MIRRORS: Shape = Shape(&[
    Type(Types::LIST),
    Items(Shape(&[
        Type(Types::MAP),
        Required(&["arches"]),
        Closed,
        Properties(&[
            ("arches", SOME_STRINGS),
            ("uri", STRING),
            ("search", SOME_STRINGS),
            ("search_dns", BOOLEAN),
            ("keyid", STRING),
            ("key", STRING),
            ("keyserver", STRING),
        ]),
    ])),
    MinItems(1),
]);

const SOURCE: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("source", STRING),
        ("keyid", STRING),
        ("key", STRING),
        ("keyserver", STRING),
        ("filename", STRING),
        ("append", BOOLEAN),
    ]),
    MinProperties(1),
]);

const APT: Shape = Shape(&[
    Type(Types::MAP),
    MinProperties(1),
    Closed,
    Properties(&[
        ("preserve_sources_list", BOOLEAN),
        ("generate_mirrorlists", BOOLEAN),
        ("disable_suites", Shape(&[Type(Types::LIST), Items(STRING), MinItems(1), Unique])),
        ("primary", MIRRORS),
        ("security", MIRRORS),
        ("add_apt_repo_match", STRING),
        (
            "debconf_selections",
            Shape(&[Type(Types::MAP), MinProperties(1), Closed, PatternProperties(NOT_EMPTY, STRING)]),
        ),
        ("sources_list", STRING),
        ("conf", STRING),
        ("https_proxy", STRING),
        ("http_proxy", STRING),
        ("proxy", STRING),
        ("ftp_proxy", STRING),
        ("sources", Shape(&[Type(Types::MAP), Closed, PatternProperties(NOT_EMPTY, SOURCE)])),
    ]),
]);

const WORDS: &[Literal] = &words(["none", "unchanged"]);

const CERTIFICATES: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("remove-defaults", Shape(&[Type(Types::BOOL), renamed("22.3", "remove_defaults")])),
        ("remove_defaults", BOOLEAN),
        ("trusted", SOME_STRINGS),
    ]),
    MinProperties(1),
]);

const PACKAGE: Shape = Shape(&[OneOf(&[Shape(&[Type(Types::LIST), Items(STRING), MinItems(2), MaxItems(2)]), STRING])]);

const PACKAGES: Shape = Shape(&[Type(Types::LIST), Items(PACKAGE)]);

const BY_MANAGER: Shape = Shape(&[Type(Types::MAP), Properties(&[("apt", PACKAGES), ("snap", PACKAGES)]), Closed]);

const ITEM: Shape = Shape(&[Before(V25_1, &Also(PACKAGE)), From(V25_1, &OneOf(&[BY_MANAGER, PACKAGE]))]);

const REGISTRATION: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("username", STRING),
        ("password", STRING),
        ("activation_key", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("activation-key", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "activation_key"))])),
        (
            "org",
            Shape(&[
                Before(V25_1, &Type(Types::INT)),
                From(
                    V25_1,
                    &OneOf(&[
                        STRING,
                        Shape(&[Type(Types::INT), deprecated("24.2", "put it in quotes: it is to be a string")]),
                    ]),
                ),
            ]),
        ),
        ("auto_attach", Shape(&[Since(V25_3), Type(Types::BOOL)])),
        ("auto-attach", Shape(&[Type(Types::BOOL), From(V25_3, &renamed("25.3", "auto_attach"))])),
        ("service_level", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("service-level", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "service_level"))])),
        ("add_pool", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("add-pool", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "add_pool"))])),
        ("enable_repo", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("enable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "enable_repo"))])),
        ("disable_repo", Shape(&[Since(V25_3), Type(Types::LIST), Items(STRING)])),
        ("disable-repo", Shape(&[Type(Types::LIST), Items(STRING), From(V25_3, &renamed("25.3", "disable_repo"))])),
        ("release_version", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("rhsm_baseurl", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("rhsm-baseurl", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "rhsm_baseurl"))])),
        ("server_hostname", Shape(&[Since(V25_3), Type(Types::STR)])),
        ("server-hostname", Shape(&[Type(Types::STR), From(V25_3, &renamed("25.3", "server_hostname"))])),
    ]),
    From(V25_3, &NotTogether("activation_key", "activation-key")),
    From(V25_3, &NotTogether("auto_attach", "auto-attach")),
    From(V25_3, &NotTogether("service_level", "service-level")),
    From(V25_3, &NotTogether("add_pool", "add-pool")),
    From(V25_3, &NotTogether("enable_repo", "enable-repo")),
    From(V25_3, &NotTogether("disable_repo", "disable-repo")),
    From(V25_3, &NotTogether("rhsm_baseurl", "rhsm-baseurl")),
    From(V25_3, &NotTogether("server_hostname", "server-hostname")),
]);

const ASSERTIONS: Shape = Shape(&[
    Type(Types::MAP.or(Types::LIST)),
    Items(STRING),
    MinItems(1),
    MinProperties(1),
    Unique,
    Additional(STRING),
]);

const COMMANDS: Shape = Shape(&[
    Type(Types::MAP.or(Types::LIST)),
    Items(COMMAND_TEXT_FIRST),
    MinItems(1),
    MinProperties(1),
    Additional(COMMAND_TEXT_FIRST),
]);

const NEWER_STRING: Shape = Shape(&[Since(V25_1), Type(Types::STR)]);

const SOURCES: &[Shape] =
    &[Shape(&[Required(&["baseurl"])]), Shape(&[Required(&["metalink"])]), Shape(&[Required(&["mirrorlist"])])];

const REPOSITORY: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("baseurl", STRING),
        ("metalink", NEWER_STRING),
        ("mirrorlist", NEWER_STRING),
        ("name", STRING),
        ("enabled", BOOLEAN),
    ]),
    PatternProperties(YUM_OPTION, Shape(&[OneOf(&[INTEGER, BOOLEAN, STRING])])),
    Before(V25_1, &Required(&["baseurl"])),
    From(V25_1, &AnyOf(SOURCES)),
]);
