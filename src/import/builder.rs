//! Converts the options of Packer's DigitalOcean builder.

use packer_import::{Block, Place, Setting, Template, Text, Value};
use yaml11::emit;

use super::{Notes, expression};

/// What an option is converted to.
enum Target {
    /// A key under `droplet:`.
    Droplet(&'static str, Kind),
    /// A key under `snapshot:`.
    Snapshot(&'static str, Kind),
    /// Nothing; the text says why mkimg does not need the option.
    NotNeeded(&'static str),
    /// Nothing in the template; the text names the option of `mkimg bake`.
    BakeOption(&'static str),
    /// Nothing, although the image differs; the text says what to do.
    NotConverted(&'static str),
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
}

use Target::{BakeOption, Droplet, NotConverted, NotNeeded, Snapshot};

const NO_SSH: &str = "the droplet does all the work itself, without SSH";

const OPTIONS: &[(&str, Target)] = &[
    ("image", Droplet("image", Kind::Text)),
    ("region", Droplet("region", Kind::Text)),
    ("size", Droplet("size", Kind::Text)),
    ("tags", Droplet("tags", Kind::Texts)),
    ("vpc_uuid", Droplet("vpc_uuid", Kind::Text)),
    ("ipv6", Droplet("ipv6", Kind::Flag)),
    ("monitoring", Droplet("monitoring", Kind::Flag)),
    ("snapshot_name", Snapshot("name", Kind::Text)),
    ("snapshot_regions", Snapshot("regions", Kind::Texts)),
    ("snapshot_tags", Snapshot("tags", Kind::Texts)),
    (
        "api_token",
        NotNeeded(
            "the token comes from DIGITALOCEAN_API_TOKEN, DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN or doctl",
        ),
    ),
    ("api_url", BakeOption("--api-url")),
    ("state_timeout", BakeOption("--timeout-create and --timeout-power-off")),
    ("snapshot_timeout", BakeOption("--timeout-snapshot")),
    ("transfer_timeout", BakeOption("--timeout-transfer")),
    ("http_retry_max", BakeOption("--retries")),
    ("http_retry_wait_min", BakeOption("--retry-wait")),
    ("http_retry_wait_max", BakeOption("--retry-wait-max")),
    ("wait_snapshot_transfer", BakeOption("--no-wait-transfer, where it was false")),
    ("private_networking", NotNeeded("every droplet is in a VPC")),
    ("connect_with_private_networking", NotNeeded("the address is the public one")),
    ("droplet_agent", Droplet("droplet_agent", Kind::Flag)),
    ("droplet_name", Droplet("name", Kind::Text)),
    ("communicator", NotNeeded(NO_SSH)),
    ("pause_before_connecting", NotNeeded(NO_SSH)),
    ("user_data", NotConverted("put what it does into `cloud_config:` of the template")),
    ("user_data_file", NotConverted("put what it does into `cloud_config:` of the template")),
];

/// The template's `droplet:` and `snapshot:`.
#[derive(Default)]
pub(super) struct Builder {
    pub droplet: emit::Map,
    pub snapshot: emit::Map,
    /// All converted texts; they may refer to variables.
    pub used: Vec<Text>,
}

/// Converts the DigitalOcean builder that the build names, or the first one.
pub(super) fn convert(packer: &Template, notes: &mut Notes) -> Builder {
    let sources = &packer.build_sources;
    let is_named = |block: &&Block| sources.is_empty() || sources.contains(&format!("{}.{}", block.kind, block.name));
    let mut chosen: Option<&Block> = None;
    let mut settings: Vec<&Setting> = Vec::new();
    for block in packer.builders.iter().filter(is_named) {
        let is_chosen = chosen.is_none_or(|chosen| !block.name.is_empty() && chosen.name == block.name);
        if block.kind == "digitalocean" && is_chosen {
            chosen = chosen.or(Some(block));
            // The options that a build adds to a source win.
            settings.retain(|before| block.get(&before.name).is_none());
            settings.extend(&block.options);
        } else {
            let reason = if block.kind == "digitalocean" {
                "only the first DigitalOcean builder is converted"
            } else {
                "mkimg builds DigitalOcean images only"
            };
            let name = format!("{} {}", block.kind, block.name);
            let message = format!("the builder `{}` was left out: {reason}", name.trim_end());
            notes.not_converted(block.place, "builders", message, "make a separate template for it");
        }
    }
    if chosen.is_none() {
        let message = "no digitalocean builder was found: the project has neither `droplet:` nor `snapshot:`";
        let help = "if it is in another HCL file, name the directory; otherwise write both by hand";
        notes.not_converted(Place::default(), "builders", message, help);
    }
    let mut builder = Builder::default();
    for setting in settings {
        builder.add(setting, notes);
    }
    builder
}

impl Builder {
    fn add(&mut self, setting: &Setting, notes: &mut Notes) {
        let name = setting.name.as_str();
        let place = setting.place;
        let is_ssh = name.starts_with("ssh_") || name.starts_with("winrm_") || name == "temporary_key_pair_type";
        match OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, target)| target) {
            Some(Droplet(key, kind)) => self.convert(*kind, key, setting, true, notes),
            Some(Snapshot(key, kind)) => self.convert(*kind, key, setting, false, notes),
            Some(NotNeeded(reason)) => notes.not_needed(place, name, format!("`{name}` is not needed: {reason}")),
            Some(BakeOption(flag)) => {
                notes.not_needed(place, name, format!("`{name}` is an option of `mkimg bake`: {flag}"));
            }
            Some(NotConverted(help)) => notes.not_converted(place, name, format!("`{name}` was left out"), help),
            None if is_ssh => notes.not_needed(place, name, format!("`{name}` is not needed: {NO_SSH}")),
            None => notes.not_converted(
                place,
                name,
                format!("mkimg does not know `{name}`, which was left out"),
                "`mkimg schema` lists the keys of a template",
            ),
        }
    }

    fn convert(&mut self, kind: Kind, key: &str, setting: &Setting, droplet: bool, notes: &mut Notes) {
        let name = setting.name.as_str();
        let texts = match kind {
            Kind::Texts => setting.value.texts(),
            Kind::Text => setting.value.text().map(|text| vec![text]),
            Kind::Flag => setting.value.flag().map(|flag| vec![Text::literal(flag.to_string())]),
        };
        if matches!(setting.value, Value::Null) {
            return;
        }
        let Some(texts) = texts else {
            let written = setting.value.unsupported().unwrap_or("a value of the wrong type");
            let message = format!("the value of `{name}` cannot be converted: {written}");
            return notes.not_converted(setting.place, name, message, "write it into the template by hand");
        };
        if name == "droplet_name" && texts.iter().any(Text::has_timestamp) {
            let message = "`droplet_name` is not needed: a build droplet has the name of its bake";
            return notes.not_needed(setting.place, name, message);
        }
        if texts.iter().any(Text::has_timestamp) && (droplet || key != "name") {
            let message = format!("`{name}` was left out: a timestamp is possible in the snapshot's name only");
            return notes.not_converted(setting.place, name, message, "use a constant value");
        }
        let value = match kind {
            Kind::Texts => emit::Value::list(texts.iter().map(expression)),
            Kind::Flag => emit::Value::Bool(setting.value.flag().unwrap_or_default()),
            Kind::Text => texts.iter().map(expression).collect::<String>().into(),
        };
        let map = if droplet { &mut self.droplet } else { &mut self.snapshot };
        map.push(key, value);
        self.used.extend(texts);
    }
}
