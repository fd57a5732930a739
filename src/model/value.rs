//! Plain values between the template's nodes and its typed structs. serde_yaml is reached here and nowhere else, so that
//! another crate with the same types can stand in for it.

pub use serde_yaml::value::Number;
pub use serde_yaml::{Mapping, Value};

/// Fills a typed struct. The reader has checked every value, so a failure is a fault of mkimg.
pub(super) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_yaml::from_value(value).map_err(|error| error.to_string())
}
