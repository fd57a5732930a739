//! Everything that can be known before anything is created: the account, its limit, region, size, image, snapshot name.

use serde::Serialize;

use super::failure::{Failure, FailureKind};
use super::ports::{Account, Provider, ProviderError};
use super::spec::{Spec, Stage};

/// What the looks gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preflight {
    /// The account's name.
    pub account: String,
    /// US dollars an hour of the build droplet.
    pub price_hourly: Option<f64>,
    /// Disk of the build droplet, GiB.
    pub disk_gib: Option<u64>,
    /// What is odd and does not stop the bake.
    pub warnings: Vec<String>,
}

/// The account, first of all: it is shown before anything else is done.
pub async fn account(provider: &dyn Provider) -> Result<Account, Failure> {
    provider.account().await.map_err(refused)
}

/// Looks at everything; all that is wrong is said at once.
pub async fn look(provider: &dyn Provider, spec: &Spec, account: &Account) -> Result<Preflight, Failure> {
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    match account.status.as_str() {
        "active" => {}
        "warning" => warnings.push(format!("the account has a warning: {}", account.status_message)),
        other => wrong.push(format!("the account is {other}: {}", account.status_message)),
    }
    match provider.droplet_count().await {
        Ok(count) if account.droplet_limit > 0 && count >= account.droplet_limit => {
            wrong.push(format!("the account has {count} droplets and may have {}: destroy one (`mkimg gc` finds leftovers of bakes), or ask for a higher limit", account.droplet_limit));
        }
        Ok(_) => {}
        Err(error) => unseen("droplets", error, &mut warnings)?,
    }
    let droplet = &spec.droplet;
    match provider.region(&droplet.region).await {
        Ok(None) => wrong.push(format!("there is no region `{}`", droplet.region)),
        Ok(Some(region)) if !region.available => {
            wrong.push(format!("region `{}` takes no new droplets now", droplet.region));
        }
        Ok(Some(_)) => {}
        Err(error) => unseen("regions", error, &mut warnings)?,
    }
    for region in &spec.snapshot.regions {
        match provider.region(region).await {
            Ok(None) => wrong.push(format!("there is no region `{region}` to transfer the snapshot to")),
            Ok(Some(_)) => {}
            Err(error) => unseen("regions", error, &mut warnings)?,
        }
    }
    let mut size = None;
    match provider.size(&droplet.size).await {
        Ok(None) => wrong.push(format!("there is no size `{}`", droplet.size)),
        Ok(Some(found)) => {
            if !found.available || !found.regions.contains(&droplet.region) {
                let elsewhere = if found.available && !found.regions.is_empty() {
                    format!("; it is in {}", found.regions.join(", "))
                } else {
                    String::new()
                };
                wrong.push(format!(
                    "size `{}` is not available in region `{}`{elsewhere}",
                    droplet.size, droplet.region
                ));
            }
            size = Some(found);
        }
        Err(error) => unseen("sizes", error, &mut warnings)?,
    }
    match provider.image(&droplet.image).await {
        Ok(None) => wrong.push(format!("there is no image `{}`", droplet.image)),
        Ok(Some(image)) => {
            if image.status == "retired" || image.status == "deleted" {
                wrong.push(format!("image `{}` is {}", droplet.image, image.status));
            } else if !image.regions.is_empty() && !image.regions.contains(&droplet.region) {
                wrong.push(format!(
                    "image `{}` is not in region `{}`; it is in {}",
                    droplet.image,
                    droplet.region,
                    image.regions.join(", ")
                ));
            }
        }
        Err(error) => unseen("images", error, &mut warnings)?,
    }
    match provider.snapshots().await {
        Ok(all) => {
            if let Some(taken) = all.iter().find(|s| s.name == spec.snapshot.name) {
                wrong.push(format!(
                    "there is a snapshot named `{}` already ({}); put {{{{ timestamp }}}} into the name, or delete it",
                    spec.snapshot.name, taken.id
                ));
            }
        }
        Err(error) => unseen("snapshots", error, &mut warnings)?,
    }
    if !wrong.is_empty() {
        return Err(Failure::new(Stage::Preflight, FailureKind::Preflight(wrong)));
    }
    Ok(Preflight {
        account: account.name.clone(),
        price_hourly: size.as_ref().map(|s| s.price_hourly),
        disk_gib: size.as_ref().map(|s| s.disk_gib),
        warnings,
    })
}

/// A token may do without some reads: that is a warning. Anything else stops the bake before it begins.
fn unseen(what: &str, error: ProviderError, warnings: &mut Vec<String>) -> Result<(), Failure> {
    if error.kind == super::ports::ProviderErrorKind::Forbidden {
        warnings.push(format!("the token may not read {what}: not checked"));
        return Ok(());
    }
    Err(refused(error))
}

fn refused(error: ProviderError) -> Failure {
    Failure::provider(Stage::Preflight, error)
}
