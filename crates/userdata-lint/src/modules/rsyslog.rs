//! `cc_rsyslog`: The system log.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Closed, Enum, Items, OneOf, Properties, Required, Since, Type, Unique};
use crate::shape::{Literal, MAPPING, STRING, STRINGS, Shape, Types};

const CONFIG: Shape = Shape(&[OneOf(&[
    STRING,
    Shape(&[
        Type(Types::MAP),
        Required(&["content"]),
        Closed,
        Properties(&[("filename", STRING), ("content", STRING)]),
    ]),
])]);

pub(crate) const MODULE: Module = Module::new(
    "rsyslog",
    &[(
        "rsyslog",
        Shape(&[
            Type(Types::MAP),
            Closed,
            Properties(&[
                ("config_dir", STRING),
                ("config_filename", STRING),
                ("configs", Shape(&[Type(Types::LIST), Items(CONFIG)])),
                ("remotes", MAPPING),
                ("service_reload_command", Shape(&[OneOf(&[Shape(&[Enum(&[Literal::Str("auto")])]), STRINGS])])),
                ("install_rsyslog", Shape(&[Since(V25_1), Type(Types::BOOL)])),
                ("check_exe", Shape(&[Since(V25_1), Type(Types::STR)])),
                ("packages", Shape(&[Since(V25_1), Type(Types::LIST), Items(STRING), Unique])),
            ]),
        ]),
    )],
);
