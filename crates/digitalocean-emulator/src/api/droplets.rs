//! `/v2/droplets`: creation, lists, deletion.

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
use crate::cloud::{ImageRef, NewDroplet, Refusal};

/// Bytes of user-data: 64 KiB, counted in UTF-8.
const USER_DATA_LIMIT: usize = 65_536;
/// Droplets that one request may create.
const AT_ONCE: usize = 10;

pub(super) async fn create(State(cloud): Account, fields: Fields) -> Result<Response, Problem> {
    let several = fields.get("names").is_some();
    let new = read(&fields, several)?;
    let made = cloud.create_droplets(new).await?;
    let (droplets, links): (Vec<Value>, Vec<Value>) = cloud.look(|state| {
        let droplets = made.iter().filter_map(|(id, _)| state.droplets.get(id));
        let links = made.iter().map(|(_, action)| {
            json!({"id": action, "rel": "create", "href": format!("{}/v2/actions/{action}", cloud.url())})
        });
        (droplets.map(|droplet| wire::droplet(state, droplet)).collect(), links.collect())
    });
    let links = json!({"actions": links});
    let body = match (several, droplets.into_iter()) {
        (true, droplets) => json!({"droplets": droplets.collect::<Vec<_>>(), "links": links}),
        (false, mut droplets) => json!({"droplet": droplets.next(), "links": links}),
    };
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

fn read(fields: &Fields, several: bool) -> Result<NewDroplet, Problem> {
    let names = if several { fields.list("names", false)? } else { vec![fields.required_text("name")?] };
    if names.is_empty() || names.len() > AT_ONCE {
        return Err(Problem::unprocessable(format!("names must hold 1 to {AT_ONCE} names.")));
    }
    for name in &names {
        names::droplet(name)?;
    }
    let image = match fields.get("image") {
        Some(Value::Number(number)) => number.as_u64().map(ImageRef::Id),
        Some(Value::String(text)) if !text.is_empty() => {
            Some(text.parse().map_or_else(|_| ImageRef::Slug(text.clone()), ImageRef::Id))
        }
        _ => None,
    };
    let image = image.ok_or_else(|| Problem::unprocessable("You specified an invalid image for Droplet creation."))?;
    let user_data = fields.text("user_data")?.filter(|text| !text.is_empty());
    if user_data.as_ref().is_some_and(|text| text.len() > USER_DATA_LIMIT) {
        return Err(Problem::unprocessable("User data is too long (maximum is 64 KiB)."));
    }
    if !fields.list("volumes", false)?.is_empty() {
        return Err(Problem::unprocessable("There are no volumes here: the emulator has none."));
    }
    let mut features = vec!["droplet_agent"];
    if fields.get("with_droplet_agent").is_some() && !fields.flag("with_droplet_agent")? {
        features.clear();
    }
    for feature in ["backups", "ipv6", "monitoring", "private_networking"] {
        if fields.flag(feature)? {
            features.push(feature);
        }
    }
    features.push("private_networking");
    Ok(NewDroplet {
        names,
        region: fields.text("region")?.filter(|region| !region.is_empty()),
        size: fields.required_text("size")?,
        image,
        keys: fields.list("ssh_keys", true)?,
        user_data,
        tags: names::tags(fields.list("tags", false)?)?,
        features: features.into_iter().map(str::to_owned).collect(),
        vpc: fields.text("vpc_uuid")?.filter(|vpc| !vpc.is_empty()),
    })
}

/// Filters: `tag_name`, `name`, `type`.
pub(super) async fn list(State(cloud): Account, paging: Paging) -> Result<Response, Problem> {
    if paging.filter("tag_name").is_some() && paging.filter("name").is_some() {
        return Err(Problem::bad_request("tag_name and name can't be given together."));
    }
    let kind = paging.filter("type") != Some("gpus");
    let rows = cloud.look_listed(|state| {
        let droplets = state.droplets.values().filter(|droplet| {
            let tag = paging.filter("tag_name").is_none_or(|tag| droplet.tags.contains(tag));
            // The service compares names without regard to case.
            let name = paging.filter("name").is_none_or(|name| droplet.name.eq_ignore_ascii_case(name));
            tag && name && kind
        });
        droplets.map(|droplet| wire::droplet(state, droplet)).collect::<Vec<_>>()
    });
    Ok(paging.answer(cloud.url(), "droplets", rows))
}

pub(super) async fn show(State(cloud): Account, Path(droplet): Path<String>) -> Result<Response, Problem> {
    let id = id_of(&droplet)?;
    let droplet = cloud.look(|state| state.droplets.get(&id).map(|droplet| wire::droplet(state, droplet)));
    droplet.map(|droplet| Json(json!({"droplet": droplet})).into_response()).ok_or_else(Problem::not_found)
}

pub(super) async fn delete(State(cloud): Account, Path(droplet): Path<String>) -> Result<Response, Problem> {
    cloud.destroy_droplet(id_of(&droplet)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Deletes every droplet that bears `tag_name`, those that are busy excepted.
pub(super) async fn delete_tagged(State(cloud): Account, paging: Paging) -> Result<Response, Problem> {
    let Some(tag) = paging.filter("tag_name") else {
        return Err(Problem::bad_request("tag_name is required."));
    };
    let ids: Option<Vec<u64>> = cloud.look_listed(|state| {
        let bearers = state.droplets.values().filter(|droplet| droplet.tags.contains(tag));
        state.tags.contains(tag).then(|| bearers.map(|droplet| droplet.id).collect())
    });
    let ids = ids.ok_or_else(Problem::not_found)?;
    // A task of its own: a client that goes away does not stop it half-way.
    let all = tokio::spawn(async move {
        let mut refused = None;
        for id in ids {
            match cloud.destroy_droplet(id).await {
                // Gone since, though the list still had it.
                Ok(()) | Err(Refusal::NotFound) => {}
                Err(refusal) => refused = Some(refusal),
            }
        }
        refused
    });
    match all.await {
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Some(refusal)) => Err(refusal.into()),
        Err(error) => Err(Refusal::Internal(error.to_string()).into()),
    }
}

pub(super) async fn snapshots(
    State(cloud): Account,
    Path(droplet): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    let id = id_of(&droplet)?;
    if !cloud.look(|state| state.droplets.contains_key(&id)) {
        return Err(Problem::not_found());
    }
    let rows = cloud.look_listed(|state| state.snapshots_of(id).map(wire::droplet_snapshot).collect::<Vec<_>>());
    Ok(paging.answer(cloud.url(), "snapshots", rows))
}

/// A list of which droplets here have nothing.
fn empty(cloud: &Account, droplet: &str, paging: &Paging, key: &str) -> Result<Response, Problem> {
    let id = id_of(droplet)?;
    if !cloud.look(|state| state.droplets.contains_key(&id)) {
        return Err(Problem::not_found());
    }
    Ok(paging.answer(cloud.url(), key, Vec::<Value>::new()))
}

pub(super) async fn backups(cloud: Account, Path(droplet): Path<String>, paging: Paging) -> Result<Response, Problem> {
    empty(&cloud, &droplet, &paging, "backups")
}

pub(super) async fn kernels(cloud: Account, Path(droplet): Path<String>, paging: Paging) -> Result<Response, Problem> {
    empty(&cloud, &droplet, &paging, "kernels")
}

pub(super) async fn neighbors(
    cloud: Account,
    Path(droplet): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    empty(&cloud, &droplet, &paging, "droplets")
}

pub(super) async fn firewalls(
    cloud: Account,
    Path(droplet): Path<String>,
    paging: Paging,
) -> Result<Response, Problem> {
    empty(&cloud, &droplet, &paging, "firewalls")
}
