//! `cc_ssh`: The SSH server's keys, and who may log in.

use super::Module;
use crate::modules::V25_1;
use crate::pattern::{HOST_KEY, HOST_KEY_WITH_DSA};
use crate::shape::Keyword::{Also, Before, Closed, Enum, From, Items, MinItems, PatternProperties, Properties, Type};
use crate::shape::{BOOLEAN, Literal, STRING, STRINGS, Shape, Types};

const HOST_KEYS: Shape = Shape(&[Type(Types::MAP), Closed, PatternProperties(HOST_KEY, STRING)]);

const HOST_KEYS_WITH_DSA: Shape = Shape(&[Type(Types::MAP), Closed, PatternProperties(HOST_KEY_WITH_DSA, STRING)]);

const KINDS: &[Literal] = &[Literal::Str("ecdsa"), Literal::Str("ed25519"), Literal::Str("rsa")];

const KINDS_WITH_DSA: &[Literal] =
    &[Literal::Str("dsa"), Literal::Str("ecdsa"), Literal::Str("ed25519"), Literal::Str("rsa")];

pub(crate) const MODULE: Module = Module::new(
    "ssh",
    &[
        // DSA keys are refused by today's versions only.
        ("ssh_keys", Shape(&[Before(V25_1, &Also(HOST_KEYS_WITH_DSA)), From(V25_1, &Also(HOST_KEYS))])),
        ("ssh_authorized_keys", Shape(&[Type(Types::LIST), MinItems(1), Items(STRING)])),
        ("ssh_deletekeys", BOOLEAN),
        (
            "ssh_genkeytypes",
            Shape(&[
                Type(Types::LIST),
                MinItems(1),
                Items(Shape(&[Type(Types::STR), Before(V25_1, &Enum(KINDS_WITH_DSA)), From(V25_1, &Enum(KINDS))])),
            ]),
        ),
        ("disable_root", BOOLEAN),
        ("disable_root_opts", STRING),
        ("allow_public_ssh_keys", BOOLEAN),
        ("ssh_quiet_keygen", BOOLEAN),
        (
            "ssh_publish_hostkeys",
            Shape(&[Type(Types::MAP), Closed, Properties(&[("enabled", BOOLEAN), ("blacklist", STRINGS)])]),
        ),
    ],
);
