//! Host names, name resolution and networking.

use super::V25_1;
use crate::shape::Keyword::{Closed, Enum, Items, MinItems, MinProperties, OneOf, Properties, Required, Since, Type};
use crate::shape::{BOOLEAN, LIST, Literal, MAPPING, STRING, Shape, Types, UNIQUE_STRINGS, changed, words};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_set_hostname`: The machine's name (`cc_update_hostname` reads the same keys).
    ("preserve_hostname", BOOLEAN),
    ("hostname", STRING),
    ("fqdn", STRING),
    ("prefer_fqdn_over_hostname", BOOLEAN),
    ("create_hostname_file", Shape(&[Since(V25_1), Type(Types::BOOL)])),
    // `cc_update_etc_hosts`: The file /etc/hosts.
    (
        "manage_etc_hosts",
        Shape(&[OneOf(&[
            Shape(&[Enum(&[Literal::Bool(true), Literal::Bool(false), Literal::Str("localhost")])]),
            Shape(&[Enum(&words(["template"])), changed("22.3", "write `true`")]),
        ])]),
    ),
    // `cc_resolv_conf`: The name resolver's configuration.
    ("manage_resolv_conf", BOOLEAN),
    (
        "resolv_conf",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("nameservers", LIST),
                ("searchdomains", LIST),
                ("domain", STRING),
                ("sortlist", LIST),
                ("options", MAPPING),
            ]),
        ]),
    ),
    // `cc_wireguard`: WireGuard's interfaces.
    (
        "wireguard",
        Shape(&[
            Type(Types::NULL.or(Types::MAP)),
            Properties(&[
                ("interfaces", Shape(&[Type(Types::LIST), Items(INTERFACE), MinItems(1)])),
                ("readinessprobe", UNIQUE_STRINGS),
            ]),
            Required(&["interfaces"]),
            MinProperties(1),
            Closed,
        ]),
    ),
    // `cc_fan`: Ubuntu's fan networking.
    (
        "fan",
        Shape(&[
            Type(Types::MAP),
            Required(&["config"]),
            Closed,
            Properties(&[("config", STRING), ("config_path", STRING)]),
        ]),
    ),
    // `cc_install_hotplug`: What happens when a network device appears later.
    (
        "updates",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[(
                "network",
                Shape(&[
                    Type(Types::MAP),
                    Required(&["when"]),
                    Closed,
                    Properties(&[(
                        "when",
                        Shape(&[Type(Types::LIST), Items(Shape(&[Type(Types::STR), Enum(EVENTS)]))]),
                    )]),
                ]),
            )]),
        ]),
    ),
    // `cc_disable_ec2_metadata`: A route that hides the EC2 metadata service.
    ("disable_ec2_metadata", BOOLEAN),
];

const INTERFACE: Shape =
    Shape(&[Type(Types::MAP), Properties(&[("name", STRING), ("config_path", STRING), ("content", STRING)]), Closed]);

const EVENTS: &[Literal] = &words(["boot-new-instance", "boot-legacy", "boot", "hotplug"]);
