//! What the service sends. The types are the emulator's own: the API client has others, so that one misreading of the
//! service's description can't hide in both.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::catalog::{self, Region, Size};
use crate::cloud::addresses;
use crate::cloud::model::{Action, Droplet, Image, ImageKind, Key, Progress, Resource, State, Status};

/// Bytes in a "gigabyte" of the API.
const GIGABYTE: f64 = 1_073_741_824.0;

/// Gigabytes with two decimals, as the service gives sizes.
fn gigabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "two decimals of a size")]
    let exact = bytes as f64 / GIGABYTE;
    (exact * 100.0).round() / 100.0
}

pub(super) fn region(region: &Region) -> Value {
    let sizes: Vec<&str> = catalog::SIZES.iter().filter(|size| size.is_in(region)).map(|size| size.slug).collect();
    json!({
        "name": region.name,
        "slug": region.slug,
        "features": catalog::FEATURES,
        "available": region.available,
        "sizes": sizes,
    })
}

pub(super) fn size(size: &Size) -> Value {
    let regions: Vec<&str> =
        catalog::REGIONS.iter().filter(|region| size.is_in(region)).map(|region| region.slug).collect();
    json!({
        "slug": size.slug,
        "memory": size.memory,
        "vcpus": size.vcpus,
        "disk": size.disk,
        "transfer": size.transfer,
        "price_monthly": size.price_monthly,
        "price_hourly": size.price_hourly(),
        "regions": regions,
        "available": size.available,
        "description": size.description,
        "disk_info": [{"type": "local", "size": {"amount": size.disk, "unit": "gib"}}],
    })
}

fn region_of(slug: &str) -> Value {
    catalog::region_by_slug(slug).map_or(Value::Null, region)
}

#[derive(Serialize)]
pub(super) struct ImageWire<'a> {
    id: u64,
    name: &'a str,
    distribution: &'a str,
    slug: Option<&'a str>,
    public: bool,
    regions: &'a BTreeSet<String>,
    created_at: &'a str,
    min_disk_size: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    size_gigabytes: f64,
    description: &'a str,
    tags: &'a BTreeSet<String>,
    status: &'static str,
    error_message: &'static str,
}

pub(super) fn image(image: &Image) -> ImageWire<'_> {
    ImageWire {
        id: image.id,
        name: &image.name,
        distribution: &image.distribution,
        slug: image.slug.as_deref(),
        public: image.kind == ImageKind::Base,
        regions: &image.regions,
        created_at: &image.created_at,
        min_disk_size: image.min_disk,
        kind: match image.kind {
            ImageKind::Base => "base",
            ImageKind::Snapshot => "snapshot",
        },
        size_gigabytes: gigabytes(image.bytes),
        description: &image.description,
        tags: &image.tags,
        status: "available",
        error_message: "",
    }
}

/// A snapshot in `/v2/snapshots`: its id is a string there.
pub(super) fn snapshot(image: &Image) -> Value {
    json!({
        "id": image.id.to_string(),
        "name": image.name,
        "created_at": image.created_at,
        "regions": image.regions,
        "min_disk_size": image.min_disk,
        "size_gigabytes": gigabytes(image.bytes),
        "resource_id": image.droplet.unwrap_or_default().to_string(),
        "resource_type": "droplet",
        "tags": image.tags,
    })
}

/// A snapshot in `/v2/droplets/{id}/snapshots`: its id is a number there.
pub(super) fn droplet_snapshot(image: &Image) -> Value {
    json!({
        "id": image.id,
        "name": image.name,
        "distribution": image.distribution,
        "slug": null,
        "public": false,
        "created_at": image.created_at,
        "regions": image.regions,
        "min_disk_size": image.min_disk,
        "size_gigabytes": gigabytes(image.bytes),
        "type": "snapshot",
    })
}

pub(super) fn droplet(state: &State, droplet: &Droplet) -> Value {
    let memory = catalog::size_by_slug(&droplet.size);
    let snapshots: Vec<u64> = state.snapshots_of(droplet.id).map(|image| image.id).collect();
    let v4: Vec<Value> = droplet.address.filter(|_| !droplet.unaddressed).map_or_else(Vec::new, |address| {
        // As the service has it: the private network may come first.
        let private = droplet.private.map(|private| {
            json!({"ip_address": private, "netmask": addresses::NETMASK, "gateway": addresses::GATEWAY,
                   "type": "private"})
        });
        let public = json!({"ip_address": address, "netmask": "255.0.0.0", "gateway": "127.0.0.1", "type": "public"});
        private.into_iter().chain([public]).collect()
    });
    json!({
        "id": droplet.id,
        "name": droplet.name,
        "memory": memory.map_or(0, |size| size.memory),
        "vcpus": memory.map_or(0, |size| size.vcpus),
        "disk": droplet.disk,
        "disk_info": [{"type": "local", "size": {"amount": droplet.disk, "unit": "gib"}}],
        "locked": state.is_busy(droplet.id),
        "status": match droplet.status {
            Status::New => "new",
            Status::Active => "active",
            Status::Off => "off",
        },
        "kernel": null,
        "created_at": droplet.created_at,
        "features": droplet.features,
        "backup_ids": [],
        "next_backup_window": null,
        "snapshot_ids": snapshots,
        "image": image(&droplet.image),
        "volume_ids": [],
        "size": memory.map_or(Value::Null, size),
        "size_slug": droplet.size,
        "networks": {"v4": v4, "v6": []},
        "region": region_of(&droplet.region),
        "tags": droplet.tags,
        "vpc_uuid": droplet.vpc,
    })
}

pub(super) fn action(action: &Action) -> Value {
    json!({
        "id": action.id,
        "status": match action.progress {
            Progress::Running => "in-progress",
            Progress::Completed => "completed",
            Progress::Errored => "errored",
        },
        "type": action.operation.name(),
        "started_at": action.started_at,
        "completed_at": action.completed_at,
        "resource_id": action.resource_id,
        "resource_type": match action.resource {
            Resource::Droplet => "droplet",
            Resource::Image => "image",
        },
        "region": region_of(&action.region),
        "region_slug": action.region,
    })
}

pub(super) fn key(key: &Key) -> Value {
    json!({"id": key.id, "fingerprint": key.fingerprint, "public_key": key.text, "name": key.name})
}

/// A tag, with how many resources bear it and which bears it last.
pub(super) fn tag(state: &State, url: &str, name: &str) -> Value {
    let droplets: Vec<u64> =
        state.droplets.values().filter(|droplet| droplet.tags.contains(name)).map(|droplet| droplet.id).collect();
    let images: Vec<u64> =
        state.images.values().filter(|image| image.tags.contains(name)).map(|image| image.id).collect();
    let count = |kind: &str, ids: &[u64]| {
        let mut entry = json!({"count": ids.len()});
        if let Some(last) = ids.last() {
            entry["last_tagged_uri"] = json!(format!("{url}/v2/{kind}/{last}"));
        }
        entry
    };
    let mut resources = count(
        if droplets.is_empty() { "images" } else { "droplets" },
        if droplets.is_empty() { &images } else { &droplets },
    );
    resources["count"] = json!(droplets.len() + images.len());
    resources["droplets"] = count("droplets", &droplets);
    resources["images"] = count("images", &images);
    for none in ["volumes", "volume_snapshots", "databases"] {
        resources[none] = count(none, &[]);
    }
    json!({"name": name, "resources": resources})
}
