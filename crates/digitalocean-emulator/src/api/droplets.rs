//! `/v2/droplets`: creation, lists, deletion.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::error::ApiError;
use super::request::{
    Account, Answer, Fields, Paging, Path, check_droplet_name, check_tags, found, no_content, parse_id,
};
use super::wire;
use crate::cloud::{Cloud, ImageRef, NewDroplet, Refusal};

/// Counted in bytes of UTF-8.
const MAX_USER_DATA_BYTES: usize = 65_536;
const MAX_DROPLETS_PER_REQUEST: usize = 10;

/// Lists of a droplet that are always empty here: last part of the path and key.
const EMPTY_LISTS: [(&str, &str); 4] =
    [("backups", "backups"), ("kernels", "kernels"), ("neighbors", "droplets"), ("firewalls", "firewalls")];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let routes = Router::new()
        .route("/v2/droplets", get(list).post(create).delete(delete_tagged))
        .route("/v2/droplets/{droplet}", get(show).delete(delete))
        .route("/v2/droplets/{droplet}/snapshots", get(list_snapshots));
    EMPTY_LISTS.iter().fold(routes, |routes, (part, key)| {
        let list = move |State(cloud): Account, Path(droplet): Path<String>, paging: Paging| async move {
            existing_id(&cloud, &droplet).map(|_| paging.answer(cloud.url(), key, Vec::<Value>::new()))
        };
        routes.route(&format!("/v2/droplets/{{droplet}}/{part}"), get(list))
    })
}

fn existing_id(cloud: &Cloud, droplet: &str) -> Result<u64, ApiError> {
    let id = parse_id(droplet)?;
    if cloud.read(|state| state.droplets.contains_key(&id)) { Ok(id) } else { Err(ApiError::not_found()) }
}

async fn create(State(cloud): Account, fields: Fields) -> Answer {
    let many = fields.get("names").is_some();
    let created = cloud.create_droplets(read_new_droplet(&fields, many)?).await?;
    let mut droplets: Vec<Value> = cloud.read(|state| {
        let droplets = created.iter().filter_map(|(id, _)| state.droplets.get(id));
        droplets.map(|droplet| wire::droplet(state, droplet)).collect()
    });
    let link =
        |action: u64| json!({"id": action, "rel": "create", "href": format!("{}/v2/actions/{action}", cloud.url())});
    let links = json!({"actions": created.iter().map(|(_, action)| link(*action)).collect::<Vec<_>>()});
    let body = if many {
        json!({"droplets": droplets, "links": links})
    } else {
        json!({"droplet": droplets.pop(), "links": links})
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn read_new_droplet(fields: &Fields, many: bool) -> Result<NewDroplet, ApiError> {
    let names = if many { fields.list("names", false)? } else { vec![fields.required_text("name")?] };
    if names.is_empty() || names.len() > MAX_DROPLETS_PER_REQUEST {
        return Err(ApiError::unprocessable(format!("names must hold 1 to {MAX_DROPLETS_PER_REQUEST} names.")));
    }
    names.iter().try_for_each(|name| check_droplet_name(name))?;
    let image = match fields.get("image") {
        Some(Value::Number(number)) => number.as_u64().map(ImageRef::Id),
        Some(Value::String(text)) if !text.is_empty() => {
            Some(text.parse().map_or_else(|_| ImageRef::Slug(text.clone()), ImageRef::Id))
        }
        _ => None,
    };
    let image = image.ok_or_else(|| ApiError::unprocessable("You specified an invalid image for Droplet creation."))?;
    let user_data = fields.some_text("user_data")?;
    if user_data.as_ref().is_some_and(|text| text.len() > MAX_USER_DATA_BYTES) {
        return Err(ApiError::unprocessable("User data is too long (maximum is 64 KiB)."));
    }
    if !fields.list("volumes", false)?.is_empty() {
        return Err(ApiError::unprocessable("The emulator has no volumes."));
    }
    let mut features = vec!["private_networking"];
    if fields.get("with_droplet_agent").is_none() || fields.flag("with_droplet_agent")? {
        features.push("droplet_agent");
    }
    for feature in ["backups", "ipv6", "monitoring", "private_networking"] {
        if fields.flag(feature)? {
            features.push(feature);
        }
    }
    Ok(NewDroplet {
        names,
        region: fields.some_text("region")?,
        size: fields.required_text("size")?,
        image,
        keys: fields.list("ssh_keys", true)?,
        user_data,
        tags: check_tags(fields.list("tags", false)?)?,
        features: features.into_iter().map(str::to_owned).collect(),
        vpc: fields.some_text("vpc_uuid")?,
    })
}

/// Filters: `tag_name`, `name`, `type`.
async fn list(State(cloud): Account, paging: Paging) -> Answer {
    let (tag, name) = (paging.filter("tag_name"), paging.filter("name"));
    if tag.is_some() && name.is_some() {
        return Err(ApiError::bad_request("tag_name and name can't be given together."));
    }
    let has_type = paging.filter("type") != Some("gpus");
    let rows: Vec<Value> = cloud.read_listed(|state| {
        let droplets = state.droplets.values().filter(|droplet| {
            // The service ignores the case of names.
            let has_name = name.is_none_or(|name| droplet.name.eq_ignore_ascii_case(name));
            has_type && has_name && tag.is_none_or(|tag| droplet.tags.contains(tag))
        });
        droplets.map(|droplet| wire::droplet(state, droplet)).collect()
    });
    Ok(paging.answer(cloud.url(), "droplets", rows))
}

async fn show(State(cloud): Account, Path(droplet): Path<String>) -> Answer {
    let id = parse_id(&droplet)?;
    found("droplet", cloud.read(|state| state.droplets.get(&id).map(|droplet| wire::droplet(state, droplet))))
}

async fn list_snapshots(State(cloud): Account, Path(droplet): Path<String>, paging: Paging) -> Answer {
    let id = existing_id(&cloud, &droplet)?;
    let rows: Vec<Value> = cloud.read_listed(|state| state.snapshots_of(id).map(wire::droplet_snapshot).collect());
    Ok(paging.answer(cloud.url(), "snapshots", rows))
}

async fn delete(State(cloud): Account, Path(droplet): Path<String>) -> Answer {
    cloud.destroy_droplet(parse_id(&droplet)?).await?;
    no_content()
}

/// Deletes every droplet that has the tag `tag_name`, except those that are busy.
async fn delete_tagged(State(cloud): Account, paging: Paging) -> Result<Response, ApiError> {
    let tag = paging.required_filter("tag_name")?;
    let ids: Option<Vec<u64>> = cloud.read_listed(|state| {
        let tagged = state.droplets.values().filter(|droplet| droplet.tags.contains(tag));
        state.tags.contains(tag).then(|| tagged.map(|droplet| droplet.id).collect())
    });
    let ids = ids.ok_or_else(ApiError::not_found)?;
    // In its own task, so that it does not stop in the middle when the client goes away.
    let deletion = tokio::spawn(async move {
        let mut refused = Ok(());
        for id in ids {
            match cloud.destroy_droplet(id).await {
                // The list may lag behind: the droplet is gone already.
                Ok(()) | Err(Refusal::NotFound) => {}
                Err(refusal) => refused = Err(refusal),
            }
        }
        refused
    });
    deletion.await.map_err(|error| Refusal::Internal(error.to_string()))??;
    no_content()
}
