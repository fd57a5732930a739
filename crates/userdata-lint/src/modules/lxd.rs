//! `cc_lxd`: LXD, initialised.

use super::Module;
use crate::shape::Keyword::{Closed, Enum, MinProperties, Minimum, Properties, Required, Type};
use crate::shape::{BOOLEAN, INTEGER, Literal, STRING, Shape, Types};

const INIT: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("network_address", STRING),
        ("network_port", INTEGER),
        (
            "storage_backend",
            Shape(&[
                Type(Types::STR),
                Enum(&[Literal::Str("zfs"), Literal::Str("dir"), Literal::Str("lvm"), Literal::Str("btrfs")]),
            ]),
        ),
        ("storage_create_device", STRING),
        ("storage_create_loop", INTEGER),
        ("storage_pool", STRING),
        ("trust_password", STRING),
    ]),
]);

const BRIDGE: Shape = Shape(&[
    Type(Types::MAP),
    Required(&["mode"]),
    Closed,
    Properties(&[
        (
            "mode",
            Shape(&[Type(Types::STR), Enum(&[Literal::Str("none"), Literal::Str("existing"), Literal::Str("new")])]),
        ),
        ("name", STRING),
        ("mtu", Shape(&[Type(Types::INT), Minimum(-1)])),
        ("ipv4_address", STRING),
        ("ipv4_netmask", INTEGER),
        ("ipv4_dhcp_first", STRING),
        ("ipv4_dhcp_last", STRING),
        ("ipv4_dhcp_leases", INTEGER),
        ("ipv4_nat", BOOLEAN),
        ("ipv6_address", STRING),
        ("ipv6_netmask", INTEGER),
        ("ipv6_nat", BOOLEAN),
        ("domain", STRING),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "lxd",
    &[(
        "lxd",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("init", INIT), ("bridge", BRIDGE), ("preseed", STRING)]),
        ]),
    )],
);
