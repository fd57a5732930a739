//! `cc_apt_configure`: apt's sources, proxies, preferences and debconf answers.

use super::Module;
use crate::pattern::NOT_EMPTY;
use crate::shape::Keyword::{
    Closed, Items, MinItems, MinProperties, PatternProperties, Properties, Required, Type, Unique,
};
use crate::shape::{BOOLEAN, SOME_STRINGS, STRING, Shape, Types};

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

pub(crate) const MODULE: Module = Module::new("apt_configure", &[("apt", APT)]);
