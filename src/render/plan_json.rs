//! `/run/mkimg/plan.json`: what the first-boot runner is told. `docs/design/first-boot.md` is the contract.

use serde_json::{Value, json};

use crate::model::{Plan, PlannedFile, Script};

/// Where the runner looks for it.
pub(super) const PATH: &str = "/run/mkimg/plan.json";

const SCRIPTS: &str = "/run/mkimg/scripts/";
const HELD: &str = "/run/mkimg/held/";

pub(super) fn script_path(script: &Script) -> String {
    format!("{SCRIPTS}{}", script.name)
}

pub(super) fn staged_path(index: usize) -> String {
    format!("{HELD}{index}")
}

/// Whether only the runner reads this file: a script, or one that is held back.
pub(super) fn is_staged(path: &str) -> bool {
    path.starts_with(SCRIPTS) || path.starts_with(HELD)
}

pub(super) fn held_back(plan: &Plan) -> impl Iterator<Item = (usize, &PlannedFile)> {
    plan.files.iter().filter(|file| file.is_held_back()).enumerate()
}

/// The plan of an image.
pub(super) fn image(plan: &Plan) -> Vec<u8> {
    let script = |script: &Script| json!({"name": script.name, "path": script_path(script)});
    let artifacts: Vec<Value> = plan
        .artifacts
        .iter()
        .map(|artifact| {
            let unpack = artifact.unpack.iter().map(|entry| {
                json!({"member": entry.member, "to": entry.to, "owner": entry.owner.to_string(), "mode": entry.mode.to_string()})
            });
            json!({
                "name": artifact.name, "url": artifact.url, "sha256": artifact.sha256, "size": artifact.size,
                "checksum_url": artifact.checksum_url, "unpack": unpack.collect::<Vec<_>>(),
            })
        })
        .collect();
    let held = held_back(plan).map(|(index, file)| {
        json!({"path": file.path, "staged": staged_path(index), "owner": file.owner.to_string(), "mode": file.mode.to_string()})
    });
    let limits = plan.time_limits;
    text(&json!({
        "version": 1,
        "kind": "image",
        "name": plan.name,
        "upgrade": plan.upgrade,
        "packages": plan.packages,
        "artifacts": artifacts,
        "environment": plan.environment,
        "scripts": plan.scripts.iter().map(script).collect::<Vec<_>>(),
        "held_back": held.collect::<Vec<_>>(),
        "cleanup": plan.cleanup.as_ref().map(script),
        "check": plan.check.as_ref().map(script),
        "time_limits": {"packages": limits.packages, "download": limits.download, "script": limits.script},
    }))
}

/// The plan that proves a fresh instance.
pub(super) fn verification(plan: &Plan) -> Vec<u8> {
    let on_boot: Vec<&str> = held_back(plan).map(|(_, file)| file.path.as_str()).collect();
    text(&json!({
        "version": 1,
        "kind": "verification",
        "name": plan.name,
        "on_boot": on_boot,
        "services": plan.verify.services,
        "ports": plan.verify.ports,
        "commands": plan.verify.commands,
        "time_limits": {"ready": plan.verify.ready},
    }))
}

fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
