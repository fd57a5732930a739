//! `/v2/actions`, and the actions of one droplet or image. The newest comes first.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::images::id_of;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, wire};
use crate::cloud::images::find;
use crate::cloud::model::{Action, Resource, State as Model};

pub(super) async fn list(State(cloud): Account, paging: Paging) -> Response {
    let rows = cloud.look_listed(|state| state.actions.values().rev().map(wire::action).collect::<Vec<_>>());
    paging.answer(cloud.url(), "actions", rows)
}

pub(super) async fn show(State(cloud): Account, Path(action): Path<String>) -> Result<Response, Problem> {
    let id = id_of(&action)?;
    answer(cloud.look(|state| state.actions.get(&id).map(wire::action)))
}

pub(super) async fn of_droplet(
    State(cloud): Account,
    Path(droplet): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    let id = id_of(&droplet)?;
    if !cloud.look(|state| state.droplets.contains_key(&id)) {
        return Err(Problem::not_found());
    }
    let rows = cloud.look_listed(|state| all(state, Resource::Droplet, id).map(wire::action).collect::<Vec<_>>());
    Ok(paging.answer(cloud.url(), "actions", rows))
}

pub(super) async fn of_image(
    State(cloud): Account,
    Path(image): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    let id = id_of(&image)?;
    if cloud.look(|state| find(state, id)).is_none() {
        return Err(Problem::not_found());
    }
    let rows = cloud.look_listed(|state| all(state, Resource::Image, id).map(wire::action).collect::<Vec<_>>());
    Ok(paging.answer(cloud.url(), "actions", rows))
}

pub(super) async fn one_of_droplet(
    State(cloud): Account,
    Path((droplet, action)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (droplet, action) = (id_of(&droplet)?, id_of(&action)?);
    answer(cloud.look(|state| one(state, Resource::Droplet, droplet, action)))
}

/// Any action: the service does not ask whether it is this image's. Packer (1.6.6) waits for a transfer with the numbers of two actions.
pub(super) async fn one_of_image(
    State(cloud): Account,
    Path((_image, action)): Path<(String, String)>,
) -> Result<Response, Problem> {
    show(State(cloud), Path(action)).await
}

fn all(state: &Model, resource: Resource, id: u64) -> impl Iterator<Item = &Action> {
    state.actions.values().rev().filter(move |action| action.resource == resource && action.resource_id == id)
}

fn one(state: &Model, resource: Resource, id: u64, action: u64) -> Option<Value> {
    all(state, resource, id).find(|found| found.id == action).map(wire::action)
}

fn answer(action: Option<Value>) -> Result<Response, Problem> {
    action.map(|action| Json(json!({"action": action})).into_response()).ok_or_else(Problem::not_found)
}
