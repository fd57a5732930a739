//! Language, time, keyboard, logs and hardware.

use super::{V25_1, V25_2};
use crate::shape::Keyword::{
    Before, Closed, Enum, From, Items, MinProperties, OneOf, Properties, Required, Since, Type, Unique,
};
use crate::shape::{BOOLEAN, MAPPING, STRING, STRINGS, Shape, Types, UNIQUE_STRINGS, words};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_locale`: The system's language.
    ("locale", Shape(&[Before(V25_1, &Type(Types::STR)), From(V25_1, &OneOf(&[BOOLEAN, STRING]))])),
    ("locale_configfile", STRING),
    // `cc_timezone`: The system's time zone.
    ("timezone", STRING),
    // `cc_keyboard`: The keyboard's layout.
    (
        "keyboard",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[("layout", STRING), ("model", STRING), ("variant", STRING), ("options", STRING)]),
            Required(&["layout"]),
        ]),
    ),
    // `cc_ntp`: Time synchronisation.
    ("ntp", NTP),
    // `cc_rsyslog`: The system log.
    (
        "rsyslog",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("config_dir", STRING),
                ("config_filename", STRING),
                ("configs", Shape(&[Type(Types::LIST), Items(RSYSLOG_CONFIG)])),
                ("remotes", MAPPING),
                ("service_reload_command", Shape(&[OneOf(&[Shape(&[Enum(&words(["auto"]))]), STRINGS])])),
                ("install_rsyslog", Shape(&[Since(V25_1), Type(Types::BOOL)])),
                ("check_exe", Shape(&[Since(V25_1), Type(Types::STR)])),
                ("packages", Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), Unique])),
            ]),
        ]),
    ),
    // `cc_byobu`: The terminal multiplexer's defaults.
    (
        "byobu_by_default",
        Shape(&[
            Type(Types::STR),
            Enum(&words([
                "enable-system", "enable-user", "disable-system", "disable-user", "enable", "disable", "user", "system",
            ])),
        ]),
    ),
    // `cc_raspberry_pi`: The Raspberry Pi's interfaces.
    (
        "rpi",
        Shape(&[
            Since(V25_2),
            Type(Types::MAP),
            Properties(&[
                (
                    "interfaces",
                    Shape(&[
                        Type(Types::MAP),
                        Properties(&[("spi", BOOLEAN), ("i2c", BOOLEAN), ("serial", SERIAL), ("onewire", BOOLEAN)]),
                    ]),
                ),
                ("enable_usb_gadget", BOOLEAN),
            ]),
        ]),
    ),
];

const CONFIG: Shape = Shape(&[
    Type(Types::MAP),
    MinProperties(1),
    Closed,
    Properties(&[
        ("confpath", STRING),
        ("check_exe", STRING),
        ("packages", UNIQUE_STRINGS),
        ("service_name", STRING),
        ("template", STRING),
    ]),
]);

const NEWER_LIST: Shape = Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), Unique]);

const NTP: Shape = Shape(&[
    Type(Types::NULL.or(Types::MAP)),
    Closed,
    Properties(&[
        ("pools", UNIQUE_STRINGS),
        ("servers", UNIQUE_STRINGS),
        ("peers", NEWER_LIST),
        ("allow", NEWER_LIST),
        ("ntp_client", STRING),
        ("enabled", BOOLEAN),
        ("config", CONFIG),
    ]),
]);

const RSYSLOG_CONFIG: Shape = Shape(&[OneOf(&[
    STRING,
    Shape(&[
        Type(Types::MAP),
        Required(&["content"]),
        Closed,
        Properties(&[("filename", STRING), ("content", STRING)]),
    ]),
])]);

const SERIAL: Shape =
    Shape(&[OneOf(&[BOOLEAN, Shape(&[Type(Types::MAP), Properties(&[("console", BOOLEAN), ("hardware", BOOLEAN)])])])]);
