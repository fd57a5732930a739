//! Events on droplets: one droplet, or all that bear a tag.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::Fields;
use super::images::id_of;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, names, wire};
use crate::catalog;
use crate::cloud::model::Operation;

pub(super) async fn act(
    State(cloud): Account,
    Path(droplet): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let id = id_of(&droplet)?;
    let operation = read(&fields)?;
    let action = cloud.act_on_droplet(id, operation).await?;
    let answer = cloud.look(|state| state.actions.get(&action).map(wire::action));
    Ok((StatusCode::CREATED, Json(json!({"action": answer}))).into_response())
}

pub(super) async fn act_tagged(State(cloud): Account, paging: Paging, fields: Fields) -> Result<Response, Problem> {
    let Some(tag) = paging.filter("tag_name") else {
        return Err(Problem::bad_request("tag_name is required."));
    };
    let operation = read(&fields)?;
    let tagged = !matches!(
        operation,
        Operation::Rename { .. } | Operation::Resize { .. } | Operation::Rebuild { .. } | Operation::Restore { .. }
    );
    if !tagged {
        return Err(Problem::unprocessable(format!("{} can't be done by tag.", operation.name())));
    }
    let ids: Vec<u64> = cloud.look(|state| {
        let bearers = state.droplets.values().filter(|droplet| droplet.tags.contains(tag));
        bearers.map(|droplet| droplet.id).collect()
    });
    let mut actions = Vec::new();
    for id in ids {
        actions.push(cloud.act_on_droplet(id, operation.clone()).await?);
    }
    let actions: Vec<Value> =
        cloud.look(|state| actions.iter().filter_map(|id| state.actions.get(id)).map(wire::action).collect());
    Ok((StatusCode::CREATED, Json(json!({"actions": actions}))).into_response())
}

fn read(fields: &Fields) -> Result<Operation, Problem> {
    Ok(match fields.required_text("type")?.as_str() {
        "power_on" => Operation::PowerOn,
        "power_off" => Operation::PowerOff,
        "power_cycle" => Operation::PowerCycle,
        "shutdown" => Operation::Shutdown,
        "reboot" => Operation::Reboot,
        "enable_ipv6" => Operation::EnableIpv6,
        "enable_backups" => Operation::EnableBackups,
        "disable_backups" => Operation::DisableBackups,
        "snapshot" => {
            let name = fields.text("name")?.filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| format!("snapshot-{}", crate::cloud::now()));
            names::free("Name", &name)?;
            Operation::Snapshot { name, image: 0 }
        }
        "rename" => {
            let name = fields.required_text("name")?;
            names::droplet(&name)?;
            Operation::Rename { name }
        }
        "resize" => Operation::Resize { size: fields.required_text("size")?, disk: fields.flag("disk")? },
        "rebuild" => Operation::Rebuild { image: image(fields)? },
        "restore" => Operation::Restore { image: image(fields)? },
        // Known, but there is no console, no kernel to choose and no backup schedule here.
        known @ ("password_reset" | "change_kernel" | "change_backup_policy") => {
            return Err(Problem::unprocessable(format!("{known} is not available in the emulator.")));
        }
        other => return Err(Problem::unprocessable(format!("{other} is not an event of droplets."))),
    })
}

/// An image by id, or a base image by slug.
fn image(fields: &Fields) -> Result<u64, Problem> {
    let id = match fields.get("image") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok().or_else(|| catalog::image_by_slug(text).map(|image| image.id)),
        _ => None,
    };
    id.ok_or_else(|| Problem::unprocessable("The image you specified does not exist."))
}
