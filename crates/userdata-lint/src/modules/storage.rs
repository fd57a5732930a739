//! Disks, file systems, mounts, files, and containers.

use super::V25_1;
use crate::pattern::{NOT_EMPTY, SIZE};
use crate::shape::Keyword::{
    Additional, AnyOf, Before, Closed, Enum, From, Items, Matches, MaxItems, MinItems, MinProperties, Minimum, OneOf,
    PatternProperties, Properties, Required, Since, Type,
};
use crate::shape::{BOOLEAN, INTEGER, Literal, NULL, STRING, STRINGS, Shape, Types, changed, words};

pub(super) const KEYS: &[(&str, Shape)] = &[
    // `cc_disk_setup`: Partitions and file systems.
    ("device_aliases", Shape(&[Type(Types::MAP), Closed, PatternProperties(NOT_EMPTY, STRING)])),
    ("disk_setup", Shape(&[Type(Types::MAP), Closed, PatternProperties(NOT_EMPTY, DISK)])),
    ("fs_setup", Shape(&[Type(Types::LIST), Items(FILE_SYSTEM)])),
    // `cc_growpart`: Partitions that grow to the size of their disk.
    (
        "growpart",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                (
                    "mode",
                    Shape(&[OneOf(&[
                        Shape(&[Enum(MODES)]),
                        Shape(&[Enum(&[Literal::Bool(false)]), changed("22.3", "write `'off'`, in quotes")]),
                    ])]),
                ),
                ("devices", STRINGS),
                ("ignore_growroot_disabled", BOOLEAN),
            ]),
        ]),
    ),
    // `cc_resizefs`: The root file system grows to the size of its partition.
    ("resize_rootfs", Shape(&[Enum(&[Literal::Bool(true), Literal::Bool(false), Literal::Str("noblock")])])),
    // `cc_mounts`: Mounts and swap.
    ("mounts", Shape(&[Type(Types::LIST), Items(FIELDS), MinItems(1)])),
    (
        "mount_default_fields",
        Shape(&[Type(Types::LIST), Items(Shape(&[OneOf(&[STRING, NULL])])), MinItems(6), MaxItems(6)]),
    ),
    ("swap", SWAP),
    // `cc_write_files`: Files with their content, owner and mode.
    ("write_files", Shape(&[Type(Types::LIST), Items(FILE), MinItems(1)])),
    // `cc_lxd`: LXD, initialised.
    (
        "lxd",
        Shape(&[
            Type(Types::MAP),
            MinProperties(1),
            Closed,
            Properties(&[("init", INIT), ("bridge", BRIDGE), ("preseed", STRING)]),
        ]),
    ),
];

const PARTITION: Shape = Shape(&[OneOf(&[
    INTEGER,
    Shape(&[
        Type(Types::LIST),
        Before(V25_1, &Items(INTEGER)),
        From(V25_1, &Items(Shape(&[AnyOf(&[INTEGER, STRING])]))),
        MinItems(2),
        MaxItems(2),
    ]),
])]);

const DISK: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("table_type", Shape(&[Type(Types::STR), Enum(&words(["mbr", "gpt"]))])),
        (
            "layout",
            Shape(&[OneOf(&[
                Shape(&[Type(Types::STR), Enum(&words(["remove"]))]),
                BOOLEAN,
                Shape(&[Type(Types::LIST), Items(PARTITION)]),
            ])]),
        ),
        ("overwrite", BOOLEAN),
    ]),
]);

const WORDS: Shape = Shape(&[Type(Types::LIST.or(Types::STR)), Items(STRING)]);

const FILE_SYSTEM: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("label", STRING),
        ("filesystem", STRING),
        ("device", STRING),
        (
            "partition",
            Shape(&[
                Type(Types::STR.or(Types::INT)),
                // An `enum` that rejects integers although the type allows them.
                OneOf(&[Shape(&[Type(Types::STR), Enum(&words(["auto", "any", "none"]))])]),
            ]),
        ),
        ("overwrite", BOOLEAN),
        ("replace_fs", STRING),
        ("extra_opts", WORDS),
        ("cmd", WORDS),
    ]),
]);

const MODES: &[Literal] = &words(["auto", "growpart", "gpart", "off"]);

const SIZE_TEXT: Shape = Shape(&[Type(Types::STR), Matches(SIZE)]);

const FIELDS: Shape = Shape(&[Type(Types::LIST), Items(STRING), MinItems(1), MaxItems(6)]);

const SWAP: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("filename", STRING),
        ("size", Shape(&[OneOf(&[Shape(&[Enum(&words(["auto"]))]), INTEGER, SIZE_TEXT])])),
        ("maxsize", Shape(&[OneOf(&[INTEGER, SIZE_TEXT])])),
    ]),
]);

const ENCODINGS: &[Literal] =
    &words(["gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64", "b64", "base64", "text/plain"]);

const REMOTE: Shape = Shape(&[
    Since(V25_1),
    Type(Types::MAP),
    Closed,
    Properties(&[("uri", STRING), ("headers", Shape(&[Type(Types::MAP), Additional(STRING)]))]),
    Required(&["uri"]),
]);

const FILE: Shape = Shape(&[
    Type(Types::MAP),
    Required(&["path"]),
    Closed,
    Properties(&[
        ("path", STRING),
        ("content", STRING),
        ("source", REMOTE),
        ("owner", STRING),
        ("permissions", STRING),
        ("encoding", Shape(&[Type(Types::STR), Enum(ENCODINGS)])),
        ("append", BOOLEAN),
        ("defer", BOOLEAN),
    ]),
]);

const INIT: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("network_address", STRING),
        ("network_port", INTEGER),
        ("storage_backend", Shape(&[Type(Types::STR), Enum(&words(["zfs", "dir", "lvm", "btrfs"]))])),
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
        ("mode", Shape(&[Type(Types::STR), Enum(&words(["none", "existing", "new"]))])),
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
