//! `/v2/images` (base images and snapshots) and `/v2/snapshots` (the same snapshots, with strings
//! as ids).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

use super::error::ApiError;
use super::request::{Account, Answer, Fields, Paging, Path, check_free_name, found, no_content, parse_id};
use super::wire;
use crate::catalog;
use crate::cloud::Cloud;
use crate::cloud::state::{Image, ImageKind};

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/v2/images", get(list))
        .route("/v2/images/{image}", get(show).put(update).delete(delete))
        .route("/v2/snapshots", get(list_snapshots))
        .route("/v2/snapshots/{snapshot}", get(show_snapshot).delete(delete_snapshot))
}

/// Filters: `type` (distribution, application, snapshot), `private`, `tag_name`, `name`.
async fn list(State(cloud): Account, paging: Paging) -> Answer {
    let private = matches!(paging.filter("private"), Some("true" | "1"));
    let kind = match paging.filter("type") {
        None => None,
        Some("distribution") => Some(Some(ImageKind::Base)),
        Some("snapshot") => Some(Some(ImageKind::Snapshot)),
        Some("application") => Some(None),
        Some(_) => return Err(ApiError::bad_request("type must be distribution, application or snapshot.")),
    };
    let rows: Vec<Value> = cloud.read_listed(|state| {
        let all = catalog::IMAGES.iter().map(Image::from).chain(state.images.values().cloned());
        let wanted = all.filter(|image| {
            let has_tag = paging.filter("tag_name").is_none_or(|tag| image.tags.contains(tag));
            let has_name = paging.filter("name").is_none_or(|name| image.name == name);
            let has_kind = kind.is_none_or(|kind| kind == Some(image.kind));
            has_tag && has_name && has_kind && (!private || image.kind == ImageKind::Snapshot)
        });
        wanted.map(|image| wire::image(&image)).collect()
    });
    Ok(paging.answer(cloud.url(), "images", rows))
}

async fn show(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    let image = match wanted.parse() {
        Ok(id) => cloud.read(|state| state.find_image(id)),
        Err(_) => catalog::image_by_slug(&wanted).map(Image::from),
    };
    found("image", image.as_ref().map(wire::image))
}

async fn update(State(cloud): Account, Path(wanted): Path<String>, fields: Fields) -> Answer {
    let id = parse_id(&wanted)?;
    let name = fields.text("name")?;
    if let Some(name) = &name {
        check_free_name(name)?;
    }
    let image = cloud.update_image(id, name, fields.text("description")?)?;
    found("image", Some(wire::image(&image)))
}

async fn delete(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    cloud.destroy_image(parse_id(&wanted)?).await?;
    no_content()
}

async fn list_snapshots(State(cloud): Account, paging: Paging) -> Response {
    // There are no snapshots of volumes.
    let has_type = paging.filter("resource_type") != Some("volume");
    let rows: Vec<Value> =
        cloud.read_listed(|state| state.images.values().filter(|_| has_type).map(wire::snapshot).collect());
    paging.answer(cloud.url(), "snapshots", rows)
}

async fn show_snapshot(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    let id = parse_id(&wanted)?;
    found("snapshot", cloud.read(|state| state.images.get(&id).map(wire::snapshot)))
}

async fn delete_snapshot(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    let id = parse_id(&wanted)?;
    if !cloud.read(|state| state.images.contains_key(&id)) {
        return Err(ApiError::not_found());
    }
    cloud.destroy_image(id).await?;
    no_content()
}
