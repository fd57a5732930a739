//! Commands and scripts, cloud-init's output, and the end of the boot.

use super::V25_1;
use crate::pattern::{MINUTES, NOT_EMPTY};
use crate::shape::Keyword::{
    Also, Before, Closed, Enum, From, Items, Matches, MaxItems, MinItems, Minimum, OneOf, PatternProperties,
    Properties, Required, Since, Type,
};
use crate::shape::{
    BOOLEAN, COMMAND, INTEGER, LIST, Literal, NULL, STRING, STRINGS, Shape, Types, changed, deprecated, renamed, words,
};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_bootcmd`: Commands that run early, on every boot.
    ("bootcmd", Shape(&[Type(Types::LIST), Items(COMMAND), MinItems(1)])),
    // `cc_runcmd`: Commands that run once, late in the first boot.
    ("runcmd", Shape(&[Type(Types::LIST), Items(Shape(&[OneOf(&[STRINGS, STRING, NULL])])), MinItems(1)])),
    // `cc_scripts_vendor`: How vendor scripts run.
    (
        "vendor_data",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                (
                    "enabled",
                    Shape(&[OneOf(&[
                        BOOLEAN,
                        Shape(&[Type(Types::STR), deprecated("22.3", "write `true` or `false` without quotes")]),
                    ])]),
                ),
                (
                    "prefix",
                    Shape(&[Type(Types::LIST.or(Types::STR)), Items(Shape(&[Type(Types::STR.or(Types::INT))]))]),
                ),
            ]),
        ]),
    ),
    // `cc_final_message`: The message at the end of the boot.
    ("final_message", STRING),
    // `cc_output_and_reporting`: Where cloud-init's output and events go (not a module).
    ("output", Shape(&[From(V25_1, &Also(OUTPUT))])),
    ("reporting", REPORTING),
    // `cc_phone_home`: A request to a URL at the end of the boot.
    (
        "phone_home",
        Shape(&[
            Type(Types::MAP),
            Required(&["url"]),
            Closed,
            Properties(&[
                ("url", STRING),
                ("post", Shape(&[OneOf(&[Shape(&[Enum(&words(["all"]))]), Shape(&[Type(Types::LIST), Items(FACT)])])])),
                ("tries", INTEGER),
            ]),
        ]),
    ),
    // `cc_power_state_change`: Power-off, reboot or halt at the end of the boot.
    (
        "power_state",
        Shape(&[
            Type(Types::MAP),
            Required(&["mode"]),
            Closed,
            Properties(&[
                ("delay", DELAY),
                ("mode", Shape(&[Type(Types::STR), Enum(&words(["poweroff", "reboot", "halt"]))])),
                ("message", STRING),
                ("timeout", INTEGER),
                ("condition", Shape(&[OneOf(&[STRING, BOOLEAN, LIST])])),
            ]),
        ]),
    ),
    // `cc_grub_dpkg`: Where Debian's packages install the boot loader.
    ("grub_dpkg", GRUB),
    ("grub-dpkg", Shape(&[Type(Types::MAP), renamed("22.2", "grub_dpkg")])),
    // `cc_seed_random`: Initial entropy.
    (
        "random_seed",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("file", STRING),
                ("data", STRING),
                ("encoding", Shape(&[Type(Types::STR), Enum(ENCODINGS)])),
                ("command", STRINGS),
                ("command_required", BOOLEAN),
            ]),
        ]),
    ),
];

const STREAM: Shape = Shape(&[OneOf(&[
    STRING,
    Shape(&[Type(Types::LIST), Items(STRING), MinItems(2), MaxItems(2)]),
    Shape(&[Type(Types::MAP), Closed, Properties(&[("output", STRING), ("error", STRING)])]),
])]);

const OUTPUT: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("all", STREAM), ("init", STREAM), ("config", STREAM), ("final", STREAM)]),
]);

const LEVELS: &[Literal] = &words(["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]);

const LOG: Shape = Shape(&[
    Closed,
    Required(&["type"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&words(["log"]))])),
        ("level", Shape(&[Type(Types::STR), Enum(LEVELS)])),
    ]),
]);

const PRINT: Shape =
    Shape(&[Closed, Required(&["type"]), Properties(&[("type", Shape(&[Type(Types::STR), Enum(&words(["print"]))]))])]);

const WEBHOOK: Shape = Shape(&[
    Closed,
    Required(&["type", "endpoint"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&words(["webhook"]))])),
        ("endpoint", STRING),
        ("consumer_key", STRING),
        ("token_key", STRING),
        ("token_secret", STRING),
        ("consumer_secret", STRING),
        ("timeout", Shape(&[Type(Types::NUMBER), Minimum(0)])),
        ("retries", Shape(&[Type(Types::INT), Minimum(0)])),
    ]),
]);

const HYPERV: Shape = Shape(&[
    Closed,
    Required(&["type"]),
    Properties(&[
        ("type", Shape(&[Type(Types::STR), Enum(&words(["hyperv"]))])),
        ("kvp_file_path", STRING),
        ("event_types", STRINGS),
    ]),
]);

const REPORTING: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    PatternProperties(NOT_EMPTY, Shape(&[Type(Types::MAP), OneOf(&[LOG, PRINT, WEBHOOK, HYPERV])])),
]);

const FACTS: &[Literal] =
    &words(["pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"]);

const FACTS_WITH_DSA: &[Literal] =
    &words(["pub_key_dsa", "pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"]);

const FACT: Shape = Shape(&[Type(Types::STR), Before(V25_1, &Enum(FACTS_WITH_DSA)), From(V25_1, &Enum(FACTS))]);

const DELAY: Shape = Shape(&[OneOf(&[
    Shape(&[Type(Types::INT), Minimum(0)]),
    Shape(&[
        Type(Types::STR),
        Matches(MINUTES),
        changed("22.3", "write the minutes as an integer without quotes, or `now`"),
    ]),
    Shape(&[Enum(&words(["now"]))]),
])]);

const GRUB: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("enabled", BOOLEAN),
        ("grub-pc/install_devices", STRING),
        (
            "grub-pc/install_devices_empty",
            Shape(&[OneOf(&[
                BOOLEAN,
                Shape(&[Type(Types::STR), changed("22.3", "write `true` or `false` without quotes")]),
            ])]),
        ),
        ("grub-efi/install_devices", Shape(&[Since(V25_1), Type(Types::STR)])),
    ]),
]);

const ENCODINGS: &[Literal] = &words(["raw", "base64", "b64", "gzip", "gz"]);
