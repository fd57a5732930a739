//! `/v2/snapshots`: the same snapshots as under `/v2/images`, with ids that are strings.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::images::id_of;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, wire};

pub(super) async fn list(State(cloud): Account, paging: Paging) -> Response {
    // There are no volumes here.
    let wanted = paging.filter("resource_type") != Some("volume");
    let rows =
        cloud.look_listed(|state| state.images.values().filter(|_| wanted).map(wire::snapshot).collect::<Vec<_>>());
    paging.answer(cloud.url(), "snapshots", rows)
}

pub(super) async fn show(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let id = id_of(&wanted)?;
    let snapshot = cloud.look(|state| state.images.get(&id).map(wire::snapshot)).ok_or_else(Problem::not_found)?;
    Ok(Json(json!({"snapshot": snapshot})).into_response())
}

pub(super) async fn delete(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let id = id_of(&wanted)?;
    if !cloud.look(|state| state.images.contains_key(&id)) {
        return Err(Problem::not_found());
    }
    cloud.destroy_image(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
