//! Collections of the service that an account here never has anything in: their lists are empty, everything else about them
//! is not found. So a client that looks through an account before or after its work finds nothing, and goes on.
//!
//! To add one: its path and the key of its list.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::Value;

use super::Account;
use super::page::Paging;
use crate::cloud::Cloud;

/// The path below `/v2/`, and the key of the list.
const COLLECTIONS: [(&str, &str); 9] = [
    ("volumes", "volumes"),
    ("firewalls", "firewalls"),
    ("load_balancers", "load_balancers"),
    ("certificates", "certificates"),
    ("domains", "domains"),
    ("floating_ips", "floating_ips"),
    ("reserved_ips", "reserved_ips"),
    ("projects", "projects"),
    ("reports/droplet_neighbors_ids", "neighbor_ids"),
];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    COLLECTIONS.iter().fold(Router::new(), |routes, (path, key)| {
        let list = move |State(cloud): Account, paging: Paging| async move {
            paging.answer(cloud.url(), key, Vec::<Value>::new())
        };
        routes.route(&format!("/v2/{path}"), get(list))
    })
}
