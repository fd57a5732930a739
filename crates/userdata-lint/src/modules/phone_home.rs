//! `cc_phone_home`: A report to a URL when everything is done.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Before, Closed, Enum, From, Items, OneOf, Properties, Required, Type};
use crate::shape::{INTEGER, Literal, STRING, Shape, Types};

const FACTS: &[Literal] = &[
    Literal::Str("pub_key_rsa"),
    Literal::Str("pub_key_ecdsa"),
    Literal::Str("pub_key_ed25519"),
    Literal::Str("instance_id"),
    Literal::Str("hostname"),
    Literal::Str("fqdn"),
];

const FACTS_WITH_DSA: &[Literal] = &[
    Literal::Str("pub_key_dsa"),
    Literal::Str("pub_key_rsa"),
    Literal::Str("pub_key_ecdsa"),
    Literal::Str("pub_key_ed25519"),
    Literal::Str("instance_id"),
    Literal::Str("hostname"),
    Literal::Str("fqdn"),
];

const FACT: Shape = Shape(&[Type(Types::STR), Before(V25_1, &Enum(FACTS_WITH_DSA)), From(V25_1, &Enum(FACTS))]);

pub(crate) const MODULE: Module = Module::new(
    "phone_home",
    &[(
        "phone_home",
        Shape(&[
            Type(Types::MAP),
            Required(&["url"]),
            Closed,
            Properties(&[
                ("url", STRING),
                (
                    "post",
                    Shape(&[OneOf(&[
                        Shape(&[Enum(&[Literal::Str("all")])]),
                        Shape(&[Type(Types::LIST), Items(FACT)]),
                    ])]),
                ),
                ("tries", INTEGER),
            ]),
        ]),
    )],
);
