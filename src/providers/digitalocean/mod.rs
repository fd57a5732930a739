//! DigitalOcean's API v2.
//!
//! `client` sends requests (time limits, retries, bounds), `answer` reads errors and headers and explains refusals, `wire`
//! has the bodies as DigitalOcean writes them, `token` finds the API token, and this file maps bodies to the bake's port. To
//! add a request: its body in `wire`, one method here, and the scope it needs in `answer`.

#![allow(clippy::disallowed_methods, reason = "edge: this module talks to the network")]

mod answer;
mod client;
mod rate_limit;
mod token;

#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::json;

use client::Client;

use crate::bake::ResourceId;
use crate::bake::ports::{
    Account, Action, CreateDroplet, Droplet, DropletAction, Image, Provider, ProviderError, ProviderErrorKind, Region,
    Size, Snapshot,
};
use secrecy::{ExposeSecret, SecretString};

use super::{ConnectError, Options, ProviderInfo};

fn connect(base: &str, token: &SecretString, options: Options) -> Result<Box<dyn Provider>, ConnectError> {
    Ok(Box::new(Client::new(base, token, options)?))
}

/// DigitalOcean, for the command line.
pub(super) const INFO: ProviderInfo = ProviderInfo {
    name: "DigitalOcean",
    api_url: "https://api.digitalocean.com",
    api_url_variable: "DIGITALOCEAN_API_URL",
    // docs.digitalocean.com, "Snapshots Pricing", November 2026; the number of regions does not matter.
    snapshot_gb_month: 0.06,
    find_token: token::find,
    token_help: token::HELP,
    connect,
    login_command: |droplet| format!("doctl compute ssh {droplet}"),
    console_page: |droplet| format!("https://cloud.digitalocean.com/droplets/{droplet}/console"),
    inspect_commands: |droplet| format!("doctl compute droplet get {droplet}; doctl compute droplet actions {droplet}"),
};

#[async_trait]
impl Provider for Client {
    async fn account(&self) -> Result<Account, ProviderError> {
        Ok(self.get::<wire::AccountBody>("/v2/account").await?.account.into())
    }

    async fn droplet_count(&self) -> Result<u64, ProviderError> {
        let page: wire::DropletsPage = self.get("/v2/droplets?per_page=1").await?;
        Ok(page.meta.map_or(page.droplets.len() as u64, |meta| meta.total))
    }

    async fn sizes(&self) -> Result<Vec<Size>, ProviderError> {
        let sizes: Vec<wire::Size> = self.pages::<wire::SizesPage>("/v2/sizes?per_page=200").await?;
        Ok(sizes.into_iter().map(Into::into).collect())
    }

    async fn regions(&self) -> Result<Vec<Region>, ProviderError> {
        let regions: Vec<wire::Region> = self.pages::<wire::RegionsPage>("/v2/regions?per_page=200").await?;
        Ok(regions.into_iter().map(Into::into).collect())
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, ProviderError> {
        let path = format!("/v2/images/{}", client::segment(name));
        let found: Option<wire::ImageBody> = self.find(&path, "/v2/images?per_page=1").await?;
        Ok(found.map(|body| Image {
            name: name.to_owned(),
            regions: body.image.regions,
            status: body.image.status.unwrap_or_default(),
            min_disk_gib: body.image.min_disk_size.map(|gib| gib.0),
        }))
    }

    async fn vpc_region(&self, uuid: &str) -> Result<Option<String>, ProviderError> {
        let path = format!("/v2/vpcs/{}", client::segment(uuid));
        let found: Option<wire::VpcBody> = self.find(&path, "/v2/vpcs?per_page=1").await?;
        Ok(found.map(|body| body.vpc.region))
    }

    async fn has_ssh_key(&self, key: &str) -> Result<bool, ProviderError> {
        let path = format!("/v2/account/keys/{}", client::segment(key));
        let found: Option<serde::de::IgnoredAny> = self.find(&path, "/v2/account/keys?per_page=1").await?;
        Ok(found.is_some())
    }

    async fn snapshots(&self) -> Result<Vec<Snapshot>, ProviderError> {
        let all: Vec<wire::Snapshot> =
            self.pages::<wire::SnapshotsPage>("/v2/snapshots?resource_type=droplet&per_page=200").await?;
        Ok(all.into_iter().map(Into::into).collect())
    }

    async fn snapshot(&self, id: &str) -> Result<Snapshot, ProviderError> {
        let missing = match self.get::<wire::SnapshotBody>(&format!("/v2/snapshots/{}", client::segment(id))).await {
            Ok(body) => return Ok(body.snapshot.into()),
            Err(error) if error.kind == ProviderErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        match self.snapshots().await {
            // A service that shows snapshots only in its list, and lists that are ahead.
            Ok(all) => all.into_iter().find(|one| one.id == id).ok_or(missing),
            // A service that shows snapshots only as images.
            Err(error) if error.kind == ProviderErrorKind::NotFound => {
                let path = format!("/v2/images/{}", client::segment(id));
                self.get::<wire::ImageOfDropletBody>(&path).await.map(|body| body.image.into()).map_err(|_| missing)
            }
            Err(_) => Err(missing),
        }
    }

    async fn create_droplet(&self, request: &CreateDroplet<'_>) -> Result<Droplet, ProviderError> {
        let mut body = json!({
            "name": request.name,
            "region": request.spec.region,
            "size": request.spec.size,
            "image": image_reference(request.image),
            "ssh_keys": request.spec.ssh_keys.iter().map(|key| image_reference(key)).collect::<Vec<_>>(),
            "backups": false,
            "ipv6": request.spec.ipv6,
            "monitoring": request.spec.monitoring,
            "tags": request.tags,
            "user_data": request.user_data.expose_secret(),
            "with_droplet_agent": request.spec.droplet_agent,
        });
        if let Some(vpc) = &request.spec.vpc_uuid {
            body["vpc_uuid"] = json!(vpc);
        }
        let created: wire::DropletBody = self.send(Method::POST, "/v2/droplets", Some(&body)).await?;
        created.droplet.read()
    }

    async fn droplet(&self, id: u64) -> Result<Droplet, ProviderError> {
        self.get::<wire::DropletBody>(&format!("/v2/droplets/{id}")).await?.droplet.read()
    }

    async fn droplets_tagged(&self, tag: &str) -> Result<Vec<Droplet>, ProviderError> {
        let all: Vec<wire::Droplet> = self
            .pages::<wire::DropletsPage>(&format!("/v2/droplets?tag_name={}&per_page=200", client::segment(tag)))
            .await?;
        // A server that ignores the query must not make mkimg delete other droplets.
        all.into_iter().filter(|droplet| droplet.carries(tag)).map(wire::Droplet::read).collect()
    }

    async fn droplet_action(&self, id: u64, action: DropletAction<'_>) -> Result<Action, ProviderError> {
        let body = match action {
            DropletAction::Shutdown => json!({"type": "shutdown"}),
            DropletAction::PowerOff => json!({"type": "power_off"}),
            DropletAction::Snapshot(name) => json!({"type": "snapshot", "name": name}),
        };
        let path = format!("/v2/droplets/{id}/actions");
        Ok(self.send::<wire::ActionBody>(Method::POST, &path, Some(&body)).await?.action.into())
    }

    async fn droplet_actions(&self, id: u64) -> Result<Vec<Action>, ProviderError> {
        let all: Vec<wire::Action> =
            self.pages::<wire::ActionsPage>(&format!("/v2/droplets/{id}/actions?per_page=200")).await?;
        let mut all: Vec<Action> = all.into_iter().map(Into::into).collect();
        all.sort_by_key(|action| std::cmp::Reverse(action.id));
        Ok(all)
    }

    async fn action(&self, id: u64, of: &ResourceId) -> Result<Action, ProviderError> {
        let missing = match self.get::<wire::ActionBody>(&format!("/v2/actions/{id}")).await {
            Ok(body) => return Ok(body.action.into()),
            Err(error) if error.kind == ProviderErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        // A service that shows actions only below their resource.
        let path = match of {
            ResourceId::Droplet(droplet) => format!("/v2/droplets/{droplet}/actions/{id}"),
            ResourceId::Snapshot(snapshot) => format!("/v2/images/{}/actions/{id}", client::segment(snapshot)),
        };
        match self.get::<wire::ActionBody>(&path).await {
            Ok(body) => Ok(body.action.into()),
            Err(error) if error.kind == ProviderErrorKind::NotFound => Err(missing),
            Err(error) => Err(error),
        }
    }

    async fn droplet_snapshots(&self, id: u64) -> Result<Vec<Snapshot>, ProviderError> {
        match self.pages::<wire::SnapshotsPage>(&format!("/v2/droplets/{id}/snapshots?per_page=200")).await {
            Ok(all) => Ok(all.into_iter().map(|snapshot| Snapshot { droplet: Some(id), ..snapshot.into() }).collect()),
            // No such droplet; or a service that shows snapshots only in the list of all.
            Err(missing) if missing.kind == ProviderErrorKind::NotFound => {
                let all = self.snapshots().await.unwrap_or_default();
                let of: Vec<Snapshot> = all.into_iter().filter(|snapshot| snapshot.droplet == Some(id)).collect();
                if of.is_empty() { Err(missing) } else { Ok(of) }
            }
            Err(error) => Err(error),
        }
    }

    async fn tag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        let path = format!("/v2/tags/{}/resources", client::segment(tag));
        let body = json!({"resources": [{"resource_id": id, "resource_type": "image"}]});
        match self.send_empty(Method::POST, &path, Some(&body)).await {
            Err(error) if error.kind == ProviderErrorKind::NotFound => {}
            other => return other,
        }
        // There is no such tag yet. Another bake may create it at this moment: the second attempt shows that.
        match self.send_empty(Method::POST, "/v2/tags", Some(&json!({"name": tag}))).await {
            Ok(()) => {}
            Err(error) if error.kind == ProviderErrorKind::Refused => {}
            Err(error) => return Err(error),
        }
        self.send_empty(Method::POST, &path, Some(&body)).await
    }

    async fn untag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError> {
        let body = json!({"resources": [{"resource_id": id, "resource_type": "image"}]});
        self.send_empty(Method::DELETE, &format!("/v2/tags/{}/resources", client::segment(tag)), Some(&body)).await
    }

    async fn delete_tag(&self, tag: &str) -> Result<(), ProviderError> {
        self.send_empty(Method::DELETE, &format!("/v2/tags/{}", client::segment(tag)), None).await
    }

    async fn transfer(&self, snapshot: &str, region: &str) -> Result<Action, ProviderError> {
        let body = json!({"type": "transfer", "region": region});
        let path = format!("/v2/images/{}/actions", client::segment(snapshot));
        Ok(self.send::<wire::ActionBody>(Method::POST, &path, Some(&body)).await?.action.into())
    }

    async fn delete_droplet(&self, id: u64) -> Result<(), ProviderError> {
        self.send_empty(Method::DELETE, &format!("/v2/droplets/{id}"), None).await
    }

    async fn delete_snapshot(&self, id: &str) -> Result<(), ProviderError> {
        let id = client::segment(id);
        match self.send_empty(Method::DELETE, &format!("/v2/snapshots/{id}"), None).await {
            // Gone already; or a service that deletes snapshots only as images.
            Err(missing) if missing.kind == ProviderErrorKind::NotFound => {
                match self.send_empty(Method::DELETE, &format!("/v2/images/{id}"), None).await {
                    Err(error) if error.kind == ProviderErrorKind::NotFound => Err(missing),
                    other => other,
                }
            }
            other => other,
        }
    }

    fn requests_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Images and keys are numbers or names; a number must not be sent as a string.
fn image_reference(name: &str) -> serde_json::Value {
    name.parse::<u64>().map_or_else(|_| json!(name), |number| json!(number))
}
