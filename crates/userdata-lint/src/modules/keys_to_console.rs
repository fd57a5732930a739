//! `cc_keys_to_console`: Which host keys are shown on the console.

use super::Module;
use crate::shape::Keyword::{Closed, Properties, Required, Type};
use crate::shape::{BOOLEAN, Shape, Types, UNIQUE_STRINGS};

pub(crate) const MODULE: Module = Module::new(
    "keys_to_console",
    &[
        (
            "ssh",
            Shape(&[
                Type(Types::MAP),
                Closed,
                Properties(&[("emit_keys_to_console", BOOLEAN)]),
                Required(&["emit_keys_to_console"]),
            ]),
        ),
        ("ssh_key_console_blacklist", UNIQUE_STRINGS),
        ("ssh_fp_console_blacklist", UNIQUE_STRINGS),
    ],
);
