//! `/v2/images`: base images and snapshots, their names, transfers and deletion.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::Fields;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, names, wire};
use crate::catalog;
use crate::cloud::images::{find, from_catalog};
use crate::cloud::model::{ImageKind, Operation, State as Model};

/// Filters: `type` (distribution, application, snapshot), `private`, `tag_name`, `name`.
pub(super) async fn list(State(cloud): Account, paging: Paging) -> Result<Response, Problem> {
    let private = matches!(paging.filter("private"), Some("true" | "1"));
    let kind = paging.filter("type");
    if !matches!(kind, None | Some("distribution" | "application" | "snapshot")) {
        return Err(Problem::bad_request("type must be distribution, application or snapshot."));
    }
    let images = cloud.look_listed(|state| {
        let base = catalog::IMAGES.iter().map(from_catalog);
        let mut images: Vec<_> = base.chain(state.images.values().cloned()).collect();
        images.retain(|image| {
            let tag = paging.filter("tag_name").is_none_or(|tag| image.tags.contains(tag));
            let name = paging.filter("name").is_none_or(|name| image.name == name);
            let kind = match kind {
                Some("distribution") => image.kind == ImageKind::Base,
                Some("snapshot") => image.kind == ImageKind::Snapshot,
                Some(_) => false,
                None => true,
            };
            tag && name && kind && (!private || image.kind == ImageKind::Snapshot)
        });
        images
    });
    Ok(paging.answer(cloud.url(), "images", images.iter().map(wire::image).collect()))
}

pub(super) async fn show(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let image = match wanted.parse() {
        Ok(id) => cloud.look(|state| find(state, id)),
        Err(_) => catalog::image_by_slug(&wanted).map(from_catalog),
    };
    let image = image.ok_or_else(Problem::not_found)?;
    Ok(Json(json!({"image": wire::image(&image)})).into_response())
}

pub(super) async fn update(
    State(cloud): Account,
    Path(wanted): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let id = id_of(&wanted)?;
    let name = fields.text("name")?;
    if let Some(name) = &name {
        names::free("Name", name)?;
    }
    let image = cloud.update_image(id, name, fields.text("description")?)?;
    Ok(Json(json!({"image": wire::image(&image)})).into_response())
}

pub(super) async fn delete(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    cloud.destroy_image(id_of(&wanted)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn act(
    State(cloud): Account,
    Path(wanted): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let id = id_of(&wanted)?;
    let operation = match fields.required_text("type")?.as_str() {
        "transfer" => Operation::Transfer { region: fields.required_text("region")? },
        "convert" => Operation::Convert,
        other => return Err(Problem::unprocessable(format!("{other} is not an event of images."))),
    };
    let action = cloud.act_on_image(id, operation)?;
    let answer = cloud.look(|state: &Model| state.actions.get(&action).map(wire::action));
    // The service sends the action under "action", though its description shows it bare: clients read the former.
    Ok((StatusCode::CREATED, Json(json!({"action": answer}))).into_response())
}

pub(super) fn id_of(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}
