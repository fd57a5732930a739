//! What the options of Packer's DigitalOcean builder become.
//!
//! To carry over another option, add a line to [`OPTIONS`].

use super::fault::Notes;
use super::packer::{Block, Packer, Place, Setting, Value};
use super::text::Text;
use yaml11::emit;

/// What an option becomes.
enum Becomes {
    /// A key under `droplet:`.
    Droplet(&'static str, Kind),
    /// A key under `snapshot:`.
    Snapshot(&'static str, Kind),
    /// Nothing: mkimg does not need it, and why.
    WithoutUse(&'static str),
    /// Nothing in the template, but a flag of `mkimg bake`.
    Flag(&'static str),
    /// Nothing, and it would be missed; and what to do.
    NotCarried(&'static str),
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
}

use Becomes::{Droplet, Flag, NotCarried, Snapshot, WithoutUse};

const SSH: &str = "there is no SSH, the droplet does all the work itself";

const OPTIONS: &[(&str, Becomes)] = &[
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
        WithoutUse(
            "the token comes from DIGITALOCEAN_API_TOKEN, DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN or doctl",
        ),
    ),
    ("api_url", Flag("--api-url")),
    ("state_timeout", Flag("--timeout-create and --timeout-power-off")),
    ("snapshot_timeout", Flag("--timeout-snapshot")),
    ("transfer_timeout", Flag("--timeout-transfer")),
    ("http_retry_max", Flag("--retries")),
    ("http_retry_wait_min", Flag("--retry-wait")),
    ("http_retry_wait_max", Flag("--retry-wait-max")),
    ("wait_snapshot_transfer", Flag("--no-wait-transfer, where it was false")),
    ("private_networking", WithoutUse("every droplet is in a VPC")),
    ("connect_with_private_networking", WithoutUse("the address is the public one")),
    ("droplet_agent", Droplet("droplet_agent", Kind::Flag)),
    ("droplet_name", Droplet("name", Kind::Text)),
    ("communicator", WithoutUse(SSH)),
    ("pause_before_connecting", WithoutUse(SSH)),
    ("user_data", NotCarried("put what it does into `cloud_config:` of the template")),
    ("user_data_file", NotCarried("put what it does into `cloud_config:` of the template")),
];

/// What the template says of the droplet and of the snapshot.
#[derive(Default)]
pub(super) struct Builder {
    pub droplet: emit::Map,
    pub snapshot: emit::Map,
    /// Everything that was carried over, for the variables that it names.
    pub used: Vec<Text>,
}

/// Takes the digitalocean builder that the build names, or the first one.
pub(super) fn builder(packer: &Packer, notes: &mut Notes) -> Builder {
    let named =
        |block: &&Block| packer.wanted.is_empty() || packer.wanted.contains(&format!("{}.{}", block.kind, block.name));
    let mut chosen: Option<&Block> = None;
    let mut settings: Vec<&Setting> = Vec::new();
    for block in packer.builders.iter().filter(named) {
        let ours = chosen.is_none_or(|chosen| !block.name.is_empty() && chosen.name == block.name);
        if block.kind == "digitalocean" && ours {
            chosen = chosen.or(Some(block));
            // What a build adds to a source wins.
            settings.retain(|before| block.get(&before.name).is_none());
            settings.extend(&block.options);
        } else {
            let what = if block.kind == "digitalocean" {
                "one builder is carried over, the first"
            } else {
                "mkimg bakes at DigitalOcean"
            };
            let message = format!(
                "the builder `{}` was left out: {what}",
                [block.kind.as_str(), block.name.as_str()].join(" ").trim_end()
            );
            notes.not_carried(block.place, "builders", message, "make a template of its own for it");
        }
    }
    if chosen.is_none() {
        let message = "no digitalocean builder was found: the project has neither `droplet:` nor `snapshot:`";
        let help = "if it stands in another HCL file, name the directory; otherwise write both by hand";
        notes.not_carried(Place::default(), "builders", message, help);
    }
    let mut builder = Builder::default();
    for setting in settings {
        builder.take(setting, notes);
    }
    builder
}

impl Builder {
    fn take(&mut self, setting: &Setting, notes: &mut Notes) {
        let name = setting.name.as_str();
        let ssh = name.starts_with("ssh_") || name.starts_with("winrm_") || name == "temporary_key_pair_type";
        let found = OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, becomes)| becomes);
        match found {
            Some(Droplet(key, kind)) => self.carry(*kind, key, setting, true, notes),
            Some(Snapshot(key, kind)) => self.carry(*kind, key, setting, false, notes),
            Some(WithoutUse(reason)) => {
                notes.without_use(setting.place, name, format!("`{name}` is not needed: {reason}"));
            }
            Some(Flag(flag)) => {
                notes.without_use(setting.place, name, format!("`{name}` is given at every bake: {flag}"));
            }
            Some(NotCarried(help)) => notes.not_carried(setting.place, name, format!("`{name}` was left out"), help),
            None if ssh => notes.without_use(setting.place, name, format!("`{name}` is not needed: {SSH}")),
            None => notes.not_carried(
                setting.place,
                name,
                format!("`{name}` is not known to mkimg, and was left out"),
                "`mkimg schema` lists what a template can say",
            ),
        }
    }

    fn carry(&mut self, kind: Kind, key: &str, setting: &Setting, droplet: bool, notes: &mut Notes) {
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
            let written = setting.value.unknown().unwrap_or("a value of another kind");
            let message = format!("the value of `{name}` cannot be translated: {written}");
            return notes.not_carried(setting.place, name, message, "write it into the template by hand");
        };
        if name == "droplet_name" && texts.iter().any(Text::has_timestamp) {
            let message = "`droplet_name` is not needed: build droplets are named after their bake";
            return notes.without_use(setting.place, name, message);
        }
        if texts.iter().any(Text::has_timestamp) && (droplet || key != "name") {
            let message =
                format!("`{name}` was left out: mkimg knows the moment of the bake in the snapshot's name only");
            return notes.not_carried(setting.place, name, message, "choose a value that stays");
        }
        let value = match kind {
            Kind::Texts => emit::Value::list(texts.iter().map(Text::expression)),
            Kind::Flag => emit::Value::Bool(setting.value.flag().unwrap_or_default()),
            Kind::Text => texts.iter().map(Text::expression).collect::<String>().into(),
        };
        let map = if droplet { &mut self.droplet } else { &mut self.snapshot };
        map.push(key, value);
        self.used.extend(texts);
    }
}
