//! `cc_package_update_upgrade_install`: Packages: the lists, upgrades, and what is installed.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Also, Before, Closed, From, Items, MaxItems, MinItems, OneOf, Properties, Type};
use crate::shape::{BOOLEAN, STRING, Shape, Types, renamed};

const PACKAGE: Shape = Shape(&[OneOf(&[Shape(&[Type(Types::LIST), Items(STRING), MinItems(2), MaxItems(2)]), STRING])]);

const PACKAGES: Shape = Shape(&[Type(Types::LIST), Items(PACKAGE)]);

const BY_MANAGER: Shape = Shape(&[Type(Types::MAP), Properties(&[("apt", PACKAGES), ("snap", PACKAGES)]), Closed]);

const ITEM: Shape = Shape(&[Before(V25_1, &Also(PACKAGE)), From(V25_1, &OneOf(&[BY_MANAGER, PACKAGE]))]);

pub(crate) const MODULE: Module = Module::new(
    "package_update_upgrade_install",
    &[
        ("packages", Shape(&[Type(Types::LIST), Items(ITEM), MinItems(1)])),
        ("package_update", BOOLEAN),
        ("package_upgrade", BOOLEAN),
        ("package_reboot_if_required", BOOLEAN),
        ("apt_update", Shape(&[Type(Types::BOOL), renamed("22.2", "package_update")])),
        ("apt_upgrade", Shape(&[Type(Types::BOOL), renamed("22.2", "package_upgrade")])),
        ("apt_reboot_if_required", Shape(&[Type(Types::BOOL), renamed("22.2", "package_reboot_if_required")])),
    ],
);
