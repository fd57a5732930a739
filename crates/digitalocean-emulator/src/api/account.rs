//! `/v2/account`, its SSH keys, the catalogue of regions and sizes, and the collections that are
//! always empty here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::error::ApiError;
use super::request::{Account, Answer, Fields, Paging, Path, check_free_name, created, found, no_content};
use super::wire;
use crate::catalog::{REGIONS, SIZES};
use crate::cloud::state::Key;
use crate::cloud::{Cloud, DROPLET_LIMIT, Refusal};

/// Collections that are always empty, as path and key of the list. Clients that list an account's
/// resources find nothing and continue. Other requests for these resources get 404.
const EMPTY_COLLECTIONS: [(&str, &str); 9] = [
    ("/v2/volumes", "volumes"),
    ("/v2/firewalls", "firewalls"),
    ("/v2/load_balancers", "load_balancers"),
    ("/v2/certificates", "certificates"),
    ("/v2/domains", "domains"),
    ("/v2/floating_ips", "floating_ips"),
    ("/v2/reserved_ips", "reserved_ips"),
    ("/v2/projects", "projects"),
    ("/v2/reports/droplet_neighbors_ids", "neighbor_ids"),
];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let routes = Router::new()
        .route("/v2/account", get(show))
        .route("/v2/account/keys", get(list_keys).post(add_key))
        .route("/v2/account/keys/{key}", get(show_key).put(rename_key).delete(delete_key))
        .route("/v2/regions", get(list_regions))
        .route("/v2/sizes", get(list_sizes));
    EMPTY_COLLECTIONS.iter().fold(routes, |routes, (path, key)| {
        let list = move |State(cloud): Account, paging: Paging| async move {
            paging.answer(cloud.url(), key, Vec::<Value>::new())
        };
        routes.route(path, get(list))
    })
}

async fn show(State(cloud): Account) -> Json<Value> {
    let uuid = cloud.read(|state| state.account.clone());
    Json(json!({"account": {
        "droplet_limit": DROPLET_LIMIT,
        "floating_ip_limit": 3,
        "reserved_ip_limit": 3,
        "volume_limit": 0,
        "email": "emulator@example.invalid",
        "name": "DigitalOcean emulator",
        "uuid": uuid,
        "email_verified": true,
        "status": "active",
        "status_message": "",
        "team": {"uuid": uuid, "name": "DigitalOcean emulator"},
    }}))
}

async fn list_regions(State(cloud): Account, paging: Paging) -> Response {
    paging.answer(cloud.url(), "regions", REGIONS.iter().map(wire::region).collect())
}

async fn list_sizes(State(cloud): Account, paging: Paging) -> Response {
    paging.answer(cloud.url(), "sizes", SIZES.iter().map(wire::size).collect())
}

async fn list_keys(State(cloud): Account, paging: Paging) -> Response {
    let keys = cloud.read_listed(|state| state.keys.values().map(wire::key).collect());
    paging.answer(cloud.url(), "ssh_keys", keys)
}

async fn add_key(State(cloud): Account, fields: Fields) -> Answer {
    let name = fields.required_text("name")?;
    check_free_name(&name)?;
    let text = fields.required_text("public_key")?.trim().to_owned();
    let fingerprint = fingerprint(&text).ok_or_else(|| {
        ApiError::unprocessable("Key invalid, key should be of the format `ssh-rsa THEKEY a_comment`")
    })?;
    let key = cloud.change(|state| {
        if state.keys.values().any(|key| key.fingerprint == fingerprint) {
            return Err(Refusal::because("SSH Key is already in use on your account"));
        }
        let id = state.new_id();
        let key = Key { id, name, text, fingerprint };
        state.keys.insert(id, key.clone());
        Ok(key)
    })?;
    created("ssh_key", wire::key(&key))
}

async fn show_key(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    found("ssh_key", cloud.read(|state| state.find_key(&wanted).map(wire::key)))
}

async fn rename_key(State(cloud): Account, Path(wanted): Path<String>, fields: Fields) -> Answer {
    let name = fields.required_text("name")?;
    check_free_name(&name)?;
    let key = cloud.change(|state| {
        let id = state.find_key(&wanted).ok_or(Refusal::NotFound)?.id;
        let key = state.keys.get_mut(&id).ok_or(Refusal::NotFound)?;
        key.name = name;
        Ok(wire::key(key))
    })?;
    found("ssh_key", Some(key))
}

async fn delete_key(State(cloud): Account, Path(wanted): Path<String>) -> Answer {
    cloud.change(|state| {
        let id = state.find_key(&wanted).ok_or(Refusal::NotFound)?.id;
        state.keys.remove(&id);
        Ok(())
    })?;
    no_content()
}

/// The MD5 fingerprint of an OpenSSH public key (`TYPE BASE64 [COMMENT]` on one line). `None` if it
/// is not a key.
fn fingerprint(key: &str) -> Option<String> {
    let mut words = key.split_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    if key.contains(['\n', '\r']) {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(blob).ok()?;
    // The blob begins with its own type: four bytes of length, then the name.
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let inner = bytes.get(4..4 + usize::try_from(length).ok()?)?;
    if inner != kind.as_bytes() {
        return None;
    }
    let digest = Md5::digest(&bytes);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";
        let expected = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba";
        assert_eq!(fingerprint(key).as_deref(), Some(expected));
        for bad in ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAB x", "ssh-ed25519 !!!"] {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
        assert_eq!(fingerprint(&key.replace(" me", "\nme")), None);
    }
}
