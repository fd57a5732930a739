//! `/v2/tags`: tags, and which droplets and images bear them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::body::Fields;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, names, wire};
use crate::cloud::Refusal;
use crate::cloud::model::State as Model;

pub(super) async fn list(State(cloud): Account, paging: Paging) -> Response {
    let rows =
        cloud.look_listed(|state| state.tags.iter().map(|tag| wire::tag(state, cloud.url(), tag)).collect::<Vec<_>>());
    paging.answer(cloud.url(), "tags", rows)
}

/// Creating a tag that is there already is no error: it is returned.
pub(super) async fn create(State(cloud): Account, fields: Fields) -> Result<Response, Problem> {
    let name = fields.required_text("name")?;
    names::tag(&name)?;
    cloud.change(|state| {
        state.tags.insert(name.clone());
        Ok(())
    })?;
    let tag = cloud.look(|state| wire::tag(state, cloud.url(), &name));
    Ok((StatusCode::CREATED, Json(json!({"tag": tag}))).into_response())
}

pub(super) async fn show(State(cloud): Account, Path(name): Path<String>) -> Result<Response, Problem> {
    let tag = cloud.look(|state| state.tags.contains(&name).then(|| wire::tag(state, cloud.url(), &name)));
    tag.map(|tag| Json(json!({"tag": tag})).into_response()).ok_or_else(Problem::not_found)
}

pub(super) async fn delete(State(cloud): Account, Path(name): Path<String>) -> Result<Response, Problem> {
    cloud.change(|state| {
        if !state.tags.remove(&name) {
            return Err(Refusal::NotFound);
        }
        for droplet in state.droplets.values_mut() {
            droplet.tags.remove(&name);
        }
        for image in state.images.values_mut() {
            image.tags.remove(&name);
        }
        Ok(())
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn tag(State(cloud): Account, Path(name): Path<String>, fields: Fields) -> Result<Response, Problem> {
    let resources = resources(&fields)?;
    cloud.change(|state| set(state, &name, &resources, true))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn untag(
    State(cloud): Account,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let resources = resources(&fields)?;
    cloud.change(|state| set(state, &name, &resources, false))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Tags or untags all of the resources, or none if one of them does not exist.
fn set(state: &mut Model, name: &str, resources: &[(String, u64)], on: bool) -> Result<(), Refusal> {
    if !state.tags.contains(name) {
        return Err(Refusal::NotFound);
    }
    for (kind, id) in resources {
        let tags = match kind.as_str() {
            "droplet" => state.droplets.get_mut(id).map(|droplet| &mut droplet.tags),
            "image" => state.images.get_mut(id).map(|image| &mut image.tags),
            _ => None,
        };
        let tags = tags.ok_or(Refusal::NotFound)?;
        if on {
            tags.insert(name.to_owned());
        } else {
            tags.remove(name);
        }
    }
    Ok(())
}

/// `{"resources": [{"resource_id", "resource_type"}]}`: ids are strings; numbers are taken too.
fn resources(fields: &Fields) -> Result<Vec<(String, u64)>, Problem> {
    let Some(Value::Array(items)) = fields.get("resources") else {
        return Err(Problem::unprocessable("resources must be a list."));
    };
    let mut resources = Vec::new();
    for item in items {
        let id = match &item["resource_id"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(Problem::unprocessable("resource_id is required.")),
        };
        let kind = item["resource_type"].as_str().unwrap_or_default();
        // There are no volumes here, and so none of theirs can be found.
        if !["droplet", "image", "volume", "volume_snapshot"].contains(&kind) {
            return Err(Problem::unprocessable("resource_type must be droplet, image, volume or volume_snapshot."));
        }
        let id = id.parse().map_err(|_| Problem::not_found())?;
        resources.push((kind.to_owned(), id));
    }
    Ok(resources)
}
