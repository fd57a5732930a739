//! `/v2/account` and the account's SSH keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use md5::{Digest, Md5};
use serde_json::json;

use super::body::Fields;
use super::page::Paging;
use super::path::Path;
use super::problem::Problem;
use super::{Account, names, wire};
use crate::cloud::model::{Key, State as Model};
use crate::cloud::{DROPLET_LIMIT, Refusal};

pub(super) async fn show(State(cloud): Account) -> Response {
    let uuid = cloud.look(|state| state.account.clone());
    Json(json!({"account": {
        "droplet_limit": DROPLET_LIMIT,
        "floating_ip_limit": 3,
        "reserved_ip_limit": 3,
        "volume_limit": 0,
        "email": "emulator@mkimg.invalid",
        "name": "mkimg emulator",
        "uuid": uuid,
        "email_verified": true,
        "status": "active",
        "status_message": "",
        "team": {"uuid": uuid, "name": "mkimg emulator"},
    }}))
    .into_response()
}

pub(super) async fn list_keys(State(cloud): Account, paging: Paging) -> Response {
    let keys = cloud.look_listed(|state| state.keys.values().map(wire::key).collect::<Vec<_>>());
    paging.answer(cloud.url(), "ssh_keys", keys)
}

pub(super) async fn add_key(State(cloud): Account, fields: Fields) -> Result<Response, Problem> {
    let name = fields.required_text("name")?;
    names::free("Name", &name)?;
    let public_key = fields.required_text("public_key")?.trim().to_owned();
    let fingerprint = fingerprint(&public_key)
        .ok_or_else(|| Problem::unprocessable("Key invalid, key should be of the format `ssh-rsa THEKEY a_comment`"))?;
    let key = cloud.change(|state| {
        if state.keys.values().any(|key| key.fingerprint == fingerprint) {
            return Err(Refusal::because("SSH Key is already in use on your account"));
        }
        let id = state.new_id();
        let key = Key { id, name, text: public_key, fingerprint };
        state.keys.insert(id, key.clone());
        Ok(key)
    })?;
    Ok((StatusCode::CREATED, Json(json!({"ssh_key": wire::key(&key)}))).into_response())
}

pub(super) async fn show_key(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    let key = cloud.look(|state| find(state, &wanted).map(|id| wire::key(&state.keys[&id])));
    key.map(|key| Json(json!({"ssh_key": key})).into_response()).ok_or_else(Problem::not_found)
}

pub(super) async fn rename_key(
    State(cloud): Account,
    Path(wanted): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let name = fields.required_text("name")?;
    names::free("Name", &name)?;
    let key = cloud.change(|state| {
        let id = find(state, &wanted).ok_or(Refusal::NotFound)?;
        let key = state.keys.get_mut(&id).ok_or(Refusal::NotFound)?;
        key.name = name;
        Ok(wire::key(key))
    })?;
    Ok(Json(json!({"ssh_key": key})).into_response())
}

pub(super) async fn delete_key(State(cloud): Account, Path(wanted): Path<String>) -> Result<Response, Problem> {
    cloud.change(|state| {
        let id = find(state, &wanted).ok_or(Refusal::NotFound)?;
        state.keys.remove(&id);
        Ok(())
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A key by its id or its fingerprint.
fn find(state: &Model, wanted: &str) -> Option<u64> {
    let id = wanted.parse().ok();
    state.keys.values().find(|key| Some(key.id) == id || key.fingerprint == wanted).map(|key| key.id)
}

/// The MD5 fingerprint of an OpenSSH public key (`TYPE BASE64 [COMMENT]`, one line), or `None` if it is none.
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
    fn fingerprints_are_what_ssh_keygen_shows() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";
        let expected = "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba";
        assert_eq!(fingerprint(key).as_deref(), Some(expected));
        for bad in ["", "ssh-rsa", "ssh-rsa AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAAB x", "ssh-ed25519 !!!"] {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
    }
}
