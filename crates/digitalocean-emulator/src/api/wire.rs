//! The JSON that the service sends. API clients must not share these definitions, so that a
//! misreading of the service's description cannot hide in both.

use serde_json::{Value, json};

use crate::catalog::{self, PRIVATE_GATEWAY, PRIVATE_NETMASK, Region, Size};
use crate::cloud::state::{Action, Droplet, Image, ImageKind, Key, ResourceKind, State};

/// Gigabytes (of 2^30 bytes) with two decimals, as the service gives sizes.
fn gigabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "two decimals of a size")]
    let exact = bytes as f64 / 1_073_741_824.0;
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

fn region_by_slug(slug: &str) -> Value {
    catalog::region_by_slug(slug).map_or(Value::Null, region)
}

pub(super) fn size(size: &Size) -> Value {
    let regions = catalog::REGIONS.iter().filter(|region| size.is_in(region));
    json!({
        "slug": size.slug,
        "memory": size.memory,
        "vcpus": size.vcpus,
        "disk": size.disk,
        "transfer": size.transfer,
        "price_monthly": size.price_monthly,
        "price_hourly": size.price_hourly(),
        "regions": regions.map(|region| region.slug).collect::<Vec<_>>(),
        "available": size.available,
        "description": size.description,
        "disk_info": [{"type": "local", "size": {"amount": size.disk, "unit": "gib"}}],
    })
}

pub(super) fn image(image: &Image) -> Value {
    json!({
        "id": image.id,
        "name": image.name,
        "distribution": image.distribution,
        "slug": image.slug,
        "public": image.kind == ImageKind::Base,
        "regions": image.regions,
        "created_at": image.created_at,
        "min_disk_size": image.min_disk,
        "type": image.kind,
        "size_gigabytes": gigabytes(image.bytes),
        "description": image.description,
        "tags": image.tags,
        "status": "available",
        "error_message": "",
    })
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
    let size_of_droplet = catalog::size_by_slug(&droplet.size);
    let snapshots: Vec<u64> = state.snapshots_of(droplet.id).map(|image| image.id).collect();
    let mut v4 = Vec::new();
    if let Some(address) = droplet.address.filter(|_| !droplet.hides_address) {
        // As at the service, the private network comes first.
        if let Some(private) = droplet.private_address {
            v4.push(json!({"ip_address": private, "netmask": PRIVATE_NETMASK, "gateway": PRIVATE_GATEWAY,
                           "type": "private"}));
        }
        v4.push(json!({"ip_address": address, "netmask": "255.0.0.0", "gateway": "127.0.0.1", "type": "public"}));
    }
    json!({
        "id": droplet.id,
        "name": droplet.name,
        "memory": size_of_droplet.map_or(0, |size| size.memory),
        "vcpus": size_of_droplet.map_or(0, |size| size.vcpus),
        "disk": droplet.disk,
        "disk_info": [{"type": "local", "size": {"amount": droplet.disk, "unit": "gib"}}],
        "locked": state.is_busy(ResourceKind::Droplet, droplet.id),
        "status": droplet.status,
        "kernel": null,
        "created_at": droplet.created_at,
        "features": droplet.features,
        "backup_ids": [],
        "next_backup_window": null,
        "snapshot_ids": snapshots,
        "image": image(&droplet.image),
        "volume_ids": [],
        "size": size_of_droplet.map_or(Value::Null, size),
        "size_slug": droplet.size,
        "networks": {"v4": v4, "v6": []},
        "region": region_by_slug(&droplet.region),
        "tags": droplet.tags,
        "vpc_uuid": droplet.vpc,
    })
}

pub(super) fn action(action: &Action) -> Value {
    json!({
        "id": action.id,
        "status": action.status,
        "type": action.operation.name(),
        "started_at": action.started_at,
        "completed_at": action.completed_at,
        "resource_id": action.resource_id,
        "resource_type": action.resource,
        "region": region_by_slug(&action.region),
        "region_slug": action.region,
    })
}

pub(super) fn key(key: &Key) -> Value {
    json!({"id": key.id, "fingerprint": key.fingerprint, "public_key": key.text, "name": key.name})
}

/// A tag, with the number of its resources and the last one of each kind.
pub(super) fn tag(state: &State, url: &str, name: &str) -> Value {
    let droplets = state.droplets.values().filter(|droplet| droplet.tags.contains(name));
    let droplets: Vec<u64> = droplets.map(|droplet| droplet.id).collect();
    let images = state.images.values().filter(|image| image.tags.contains(name));
    let images: Vec<u64> = images.map(|image| image.id).collect();
    let summary = |kind: &str, ids: &[u64]| {
        let mut summary = json!({"count": ids.len()});
        if let Some(last) = ids.last() {
            summary["last_tagged_uri"] = json!(format!("{url}/v2/{kind}/{last}"));
        }
        summary
    };
    let (of_droplets, of_images) = (summary("droplets", &droplets), summary("images", &images));
    let mut resources = if droplets.is_empty() { of_images.clone() } else { of_droplets.clone() };
    resources["count"] = json!(droplets.len() + images.len());
    resources["droplets"] = of_droplets;
    resources["images"] = of_images;
    for none in ["volumes", "volume_snapshots", "databases"] {
        resources[none] = json!({"count": 0});
    }
    json!({"name": name, "resources": resources})
}
