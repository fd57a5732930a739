//! `cc_grub_dpkg`: Where Debian's packages install the boot loader.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Closed, OneOf, Properties, Since, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types, changed, renamed};

const GRUB: Shape = Shape(&[
    Type(Types::MAP),
    Closed,
    Properties(&[
        ("enabled", BOOLEAN),
        ("grub-pc/install_devices", STRING),
        (
            "grub-pc/install_devices_empty",
            Shape(&[OneOf(&[
                BOOLEAN,
                Shape(&[Type(Types::STR), changed("22.3", "write `true` or `false` without quotes")]),
            ])]),
        ),
        ("grub-efi/install_devices", Shape(&[Since(V25_1), Type(Types::STR)])),
    ]),
]);

pub(crate) const MODULE: Module = Module::new(
    "grub_dpkg",
    &[("grub_dpkg", GRUB), ("grub-dpkg", Shape(&[Type(Types::MAP), renamed("22.2", "grub_dpkg")]))],
);
