//! `/v2/tags`: tags, and which droplets and images have them.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;

use super::error::ApiError;
use super::request::{Account, Answer, Fields, Paging, Path, check_tag, created, found, no_content};
use super::wire;
use crate::cloud::{Cloud, Refusal};

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/v2/tags", get(list).post(create))
        .route("/v2/tags/{tag}", get(show).delete(delete))
        .route("/v2/tags/{tag}/resources", post(tag_resources).delete(untag_resources))
}

async fn list(State(cloud): Account, paging: Paging) -> Response {
    let rows: Vec<Value> =
        cloud.read_listed(|state| state.tags.iter().map(|tag| wire::tag(state, cloud.url(), tag)).collect());
    paging.answer(cloud.url(), "tags", rows)
}

/// Returns a tag that exists already: that is not an error.
async fn create(State(cloud): Account, fields: Fields) -> Answer {
    let name = fields.required_text("name")?;
    check_tag(&name)?;
    cloud.change(|state| {
        state.tags.insert(name.clone());
        Ok(())
    })?;
    created("tag", cloud.read(|state| wire::tag(state, cloud.url(), &name)))
}

async fn show(State(cloud): Account, Path(name): Path<String>) -> Answer {
    found("tag", cloud.read(|state| state.tags.contains(&name).then(|| wire::tag(state, cloud.url(), &name))))
}

async fn delete(State(cloud): Account, Path(name): Path<String>) -> Answer {
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
    no_content()
}

async fn tag_resources(State(cloud): Account, Path(name): Path<String>, fields: Fields) -> Answer {
    change_resources(&cloud, &name, &fields, true)
}

async fn untag_resources(State(cloud): Account, Path(name): Path<String>, fields: Fields) -> Answer {
    change_resources(&cloud, &name, &fields, false)
}

/// Tags or untags all of the resources, or none of them if one does not exist.
fn change_resources(cloud: &Cloud, name: &str, fields: &Fields, add: bool) -> Answer {
    let resources = read_resources(fields)?;
    cloud.change(|state| {
        if !state.tags.contains(name) {
            return Err(Refusal::NotFound);
        }
        for (kind, id) in resources {
            let tags = match kind.as_str() {
                "droplet" => state.droplets.get_mut(&id).map(|droplet| &mut droplet.tags),
                "image" => state.images.get_mut(&id).map(|image| &mut image.tags),
                _ => None,
            };
            let tags = tags.ok_or(Refusal::NotFound)?;
            if add {
                tags.insert(name.to_owned());
            } else {
                tags.remove(name);
            }
        }
        Ok(())
    })?;
    no_content()
}

/// `{"resources": [{"resource_id", "resource_type"}]}`: ids are strings; numbers are accepted too.
fn read_resources(fields: &Fields) -> Result<Vec<(String, u64)>, ApiError> {
    let Some(Value::Array(items)) = fields.get("resources") else {
        return Err(ApiError::unprocessable("resources must be a list."));
    };
    let read = |item: &Value| {
        let id = match &item["resource_id"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(ApiError::unprocessable("resource_id is required.")),
        };
        let kind = item["resource_type"].as_str().unwrap_or_default();
        // Types that the service has but the emulator has not are not found.
        if !["droplet", "image", "volume", "volume_snapshot"].contains(&kind) {
            return Err(ApiError::unprocessable("resource_type must be droplet, image, volume or volume_snapshot."));
        }
        Ok((kind.to_owned(), id.parse().map_err(|_| ApiError::not_found())?))
    };
    items.iter().map(read).collect()
}
