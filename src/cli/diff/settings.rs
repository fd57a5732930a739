//! `bake.yaml` of a golden case: what a bake is told beside the document.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::bake::upload_index;
use crate::cli::error::Failure;
use crate::model::{Plan, to_yaml};
use crate::render::RenderedDocument;

const COMMENT: &str = "# What a bake uses beside user-data.yaml. `mkimg diff --update` writes this file.\n";

/// Returns the droplet, the snapshot, the verification, the artifacts, and what is uploaded, as YAML.
pub(in crate::cli) fn settings(root: &Path, plan: &Plan, document: &RenderedDocument) -> Result<String, Failure> {
    let droplet = plan.droplet.as_ref().map(|droplet| {
        json!({
            "image": droplet.image, "region": droplet.region, "size": droplet.size, "name": droplet.name, "tags": droplet.tags,
            "vpc_uuid": droplet.vpc_uuid, "ipv6": droplet.ipv6, "monitoring": droplet.monitoring,
            "droplet_agent": droplet.droplet_agent,
        })
    });
    let (snapshot, verify) = (&plan.snapshot, &plan.verify);
    let artifacts = plan.artifacts.iter().map(|artifact| json!({"url": artifact.url, "sha256": artifact.sha256}));
    let uploads = upload_index(root, &document.uploads)?;
    let mut settings = json!({
        "droplet": droplet,
        "snapshot": {"name": snapshot.name, "regions": snapshot.regions, "tags": snapshot.tags},
        "verify": {
            "services": verify.services, "ports": verify.ports, "commands": verify.commands, "ready": verify.ready.as_secs(),
        },
        "artifacts": artifacts.collect::<Vec<_>>(),
        "uploads": uploads,
    });
    remove_unset(&mut settings);
    Ok(format!("{COMMENT}{}", to_yaml(&settings)))
}

/// Removes options that have no value, and empty lists: a new option of mkimg does not change old fixtures.
fn remove_unset(value: &mut Value) {
    let is_unset = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(remove_unset);
            fields.retain(|_, field| !is_unset(field));
        }
        Value::Array(items) => items.iter_mut().for_each(remove_unset),
        _ => {}
    }
}
