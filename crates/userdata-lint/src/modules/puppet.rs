//! `cc_puppet`: Puppet, installed and configured.

use super::Module;
use crate::shape::Keyword::{Closed, Enum, Properties, Type};
use crate::shape::{BOOLEAN, Literal, MAPPING, STRING, STRINGS, Shape, Types};

const CONF: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[("main", MAPPING), ("server", MAPPING), ("agent", MAPPING), ("user", MAPPING), ("ca_cert", STRING)]),
]);

const PUPPET: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("install", BOOLEAN),
        ("version", STRING),
        ("install_type", Shape(&[Type(Types::STR), Enum(&[Literal::Str("packages"), Literal::Str("aio")])])),
        ("collection", STRING),
        ("aio_install_url", STRING),
        ("cleanup", BOOLEAN),
        ("conf_file", STRING),
        ("ssl_dir", STRING),
        ("csr_attributes_path", STRING),
        ("package_name", STRING),
        ("exec", BOOLEAN),
        ("exec_args", STRINGS),
        ("start_service", BOOLEAN),
        ("conf", CONF),
        (
            "csr_attributes",
            Shape(&[
                Type(Types::MAP),
                Closed,
                Properties(&[("custom_attributes", MAPPING), ("extension_requests", MAPPING)]),
            ]),
        ),
    ]),
]);

pub(crate) const MODULE: Module = Module::new("puppet", &[("puppet", PUPPET)]);
