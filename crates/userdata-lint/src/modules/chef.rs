//! `cc_chef`: Chef, installed and configured.

use super::Module;
use crate::modules::V25_1;
use crate::shape::Keyword::{Closed, Enum, From, Items, MinItems, MinProperties, Properties, Since, Type, Unique};
use crate::shape::{BOOLEAN, INTEGER, Literal, STRING, STRINGS, Shape, Types};

const LICENSES: &[Literal] =
    &[Literal::Str("accept"), Literal::Str("accept-silent"), Literal::Str("accept-no-persist")];

const CHEF: Shape = Shape(&[
    Type(Types::MAP),
    MinProperties(1),
    Closed,
    Properties(&[
        ("directories", Shape(&[Type(Types::LIST), Items(STRING), MinItems(1), Unique])),
        ("config_path", Shape(&[Since(V25_1), Type(Types::STR)])),
        ("validation_cert", STRING),
        ("validation_key", STRING),
        ("firstboot_path", STRING),
        ("exec", BOOLEAN),
        ("client_key", STRING),
        ("encrypted_data_bag_secret", STRING),
        ("environment", STRING),
        ("file_backup_path", STRING),
        ("file_cache_path", STRING),
        ("json_attribs", STRING),
        ("log_level", STRING),
        ("log_location", STRING),
        ("node_name", STRING),
        ("omnibus_url", STRING),
        ("omnibus_url_retries", INTEGER),
        ("omnibus_version", STRING),
        ("pid_file", STRING),
        ("server_url", STRING),
        ("show_time", BOOLEAN),
        ("ssl_verify_mode", STRING),
        ("validation_name", STRING),
        ("force_install", BOOLEAN),
        ("initial_attributes", Shape(&[Type(Types::MAP), Items(STRING)])),
        (
            "install_type",
            Shape(&[
                Type(Types::STR),
                Enum(&[Literal::Str("packages"), Literal::Str("gems"), Literal::Str("omnibus")]),
            ]),
        ),
        ("run_list", STRINGS),
        ("chef_license", Shape(&[Type(Types::STR), From(V25_1, &Enum(LICENSES))])),
    ]),
]);

pub(crate) const MODULE: Module = Module::new("chef", &[("chef", CHEF)]);
