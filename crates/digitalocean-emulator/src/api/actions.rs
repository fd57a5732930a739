//! `/v2/actions` and the actions of one droplet or image: lists (newest first) and new events.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;

use super::error::ApiError;
use super::request::{
    Account, Answer, Fields, Paging, Path, check_droplet_name, check_free_name, created, found, parse_id,
};
use super::wire;
use crate::catalog;
use crate::cloud::Cloud;
use crate::cloud::state::{Operation, ResourceKind};
use crate::support::timestamp;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/v2/actions", get(list))
        .route("/v2/actions/{action}", get(show))
        .route("/v2/droplets/actions", post(act_on_tagged))
        .route("/v2/droplets/{droplet}/actions", get(list_of_droplet).post(act_on_droplet))
        .route("/v2/droplets/{droplet}/actions/{action}", get(show_of_droplet))
        .route("/v2/images/{image}/actions", get(list_of_image).post(act_on_image))
        .route("/v2/images/{image}/actions/{action}", get(show_of_image))
}

async fn list(State(cloud): Account, paging: Paging) -> Response {
    let rows = cloud.read_listed(|state| state.actions.values().rev().map(wire::action).collect());
    paging.answer(cloud.url(), "actions", rows)
}

async fn show(State(cloud): Account, Path(action): Path<String>) -> Answer {
    let id = parse_id(&action)?;
    found("action", cloud.read(|state| state.actions.get(&id).map(wire::action)))
}

async fn list_of_droplet(State(cloud): Account, Path(droplet): Path<String>, paging: Paging) -> Answer {
    let id = parse_id(&droplet)?;
    let exists = cloud.read(|state| state.droplets.contains_key(&id));
    list_of(&cloud, exists, ResourceKind::Droplet, id, &paging)
}

async fn list_of_image(State(cloud): Account, Path(image): Path<String>, paging: Paging) -> Answer {
    let id = parse_id(&image)?;
    let exists = cloud.read(|state| state.find_image(id).is_some());
    list_of(&cloud, exists, ResourceKind::Image, id, &paging)
}

fn list_of(cloud: &Cloud, exists: bool, resource: ResourceKind, id: u64, paging: &Paging) -> Answer {
    if !exists {
        return Err(ApiError::not_found());
    }
    let rows = cloud.read_listed(|state| state.actions_on(resource, id).map(wire::action).collect());
    Ok(paging.answer(cloud.url(), "actions", rows))
}

async fn show_of_droplet(State(cloud): Account, Path((droplet, action)): Path<(String, String)>) -> Answer {
    let (droplet, action) = (parse_id(&droplet)?, parse_id(&action)?);
    let action = cloud.read(|state| {
        state.actions_on(ResourceKind::Droplet, droplet).find(|found| found.id == action).map(wire::action)
    });
    found("action", action)
}

/// Any action, whatever the image, as at the service: Packer 1.6.6 waits for a transfer with the
/// ids of two actions.
async fn show_of_image(State(cloud): Account, Path((_image, action)): Path<(String, String)>) -> Answer {
    show(State(cloud), Path(action)).await
}

async fn act_on_droplet(State(cloud): Account, Path(droplet): Path<String>, fields: Fields) -> Answer {
    let action = cloud.act_on_droplet(parse_id(&droplet)?, read_operation(&fields)?).await?;
    created("action", cloud.read(|state| state.actions.get(&action).map(wire::action)))
}

async fn act_on_tagged(State(cloud): Account, paging: Paging, fields: Fields) -> Answer {
    let tag = paging.required_filter("tag_name")?;
    let operation = read_operation(&fields)?;
    if matches!(
        operation,
        Operation::Rename { .. } | Operation::Resize { .. } | Operation::Rebuild { .. } | Operation::Restore { .. }
    ) {
        return Err(ApiError::unprocessable(format!("{} can't be done by tag.", operation.name())));
    }
    let ids: Vec<u64> = cloud.read(|state| {
        let tagged = state.droplets.values().filter(|droplet| droplet.tags.contains(tag));
        tagged.map(|droplet| droplet.id).collect()
    });
    let mut actions = Vec::new();
    for id in ids {
        actions.push(cloud.act_on_droplet(id, operation.clone()).await?);
    }
    let actions: Vec<Value> =
        cloud.read(|state| actions.iter().filter_map(|id| state.actions.get(id)).map(wire::action).collect());
    created("actions", actions)
}

fn read_operation(fields: &Fields) -> Result<Operation, ApiError> {
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
            let name = fields.some_text("name")?.unwrap_or_else(|| format!("snapshot-{}", timestamp()));
            check_free_name(&name)?;
            Operation::Snapshot { name, image: 0 }
        }
        "rename" => {
            let name = fields.required_text("name")?;
            check_droplet_name(&name)?;
            Operation::Rename { name }
        }
        "resize" => Operation::Resize { size: fields.required_text("size")?, disk: fields.flag("disk")? },
        "rebuild" => Operation::Rebuild { image: read_image(fields)? },
        "restore" => Operation::Restore { image: read_image(fields)? },
        // Events of the service that make no sense without its console, kernels and backups.
        known @ ("password_reset" | "change_kernel" | "change_backup_policy") => {
            return Err(ApiError::unprocessable(format!("{known} is not available in the emulator.")));
        }
        other => return Err(ApiError::unprocessable(format!("{other} is not an event of droplets."))),
    })
}

/// An image by id, or a base image by slug.
fn read_image(fields: &Fields) -> Result<u64, ApiError> {
    let id = match fields.get("image") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok().or_else(|| catalog::image_by_slug(text).map(|image| image.id)),
        _ => None,
    };
    id.ok_or_else(|| ApiError::unprocessable("The image you specified does not exist."))
}

/// The service sends the action under "action", although its description shows it bare; clients
/// expect the former.
async fn act_on_image(State(cloud): Account, Path(image): Path<String>, fields: Fields) -> Answer {
    let id = parse_id(&image)?;
    let operation = match fields.required_text("type")?.as_str() {
        "transfer" => Operation::Transfer { region: fields.required_text("region")? },
        "convert" => Operation::Convert,
        other => return Err(ApiError::unprocessable(format!("{other} is not an event of images."))),
    };
    let action = cloud.act_on_image(id, operation)?;
    created("action", cloud.read(|state| state.actions.get(&action).map(wire::action)))
}
