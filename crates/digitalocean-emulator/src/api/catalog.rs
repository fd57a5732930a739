//! `/v2/regions` and `/v2/sizes`.

use axum::extract::State;
use axum::response::Response;

use super::page::Paging;
use super::{Account, wire};
use crate::catalog::{REGIONS, SIZES};

pub(super) async fn regions(State(cloud): Account, paging: Paging) -> Response {
    paging.answer(cloud.url(), "regions", REGIONS.iter().map(wire::region).collect())
}

pub(super) async fn sizes(State(cloud): Account, paging: Paging) -> Response {
    paging.answer(cloud.url(), "sizes", SIZES.iter().map(wire::size).collect())
}
