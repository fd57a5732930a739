//! Images: the catalogue's and the account's snapshots; transfers, deletion, names.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::model::{Image, ImageKind, Operation, Resource, State};
use super::{Cloud, Refusal, record};
use crate::catalog::{self, BaseImage};

/// A base image as the account sees it.
pub(crate) fn from_catalog(image: &BaseImage) -> Image {
    Image {
        id: image.id,
        name: image.name.to_owned(),
        kind: ImageKind::Base,
        distribution: image.distribution.to_owned(),
        slug: Some(image.slug.to_owned()),
        regions: catalog::REGIONS.iter().map(|region| region.slug.to_owned()).collect(),
        created_at: "2025-01-01T00:00:00Z".to_owned(),
        min_disk: image.min_disk,
        bytes: 430 << 20,
        tags: BTreeSet::new(),
        description: format!("{} {}", image.distribution, image.name),
        droplet: None,
    }
}

/// Any image, by its id.
pub(crate) fn find(state: &State, id: u64) -> Option<Image> {
    state.images.get(&id).cloned().or_else(|| catalog::image_by_id(id).map(from_catalog))
}

impl Cloud {
    /// Starts an event on a snapshot; returns the action.
    pub(crate) fn act_on_image(self: &Arc<Self>, id: u64, operation: Operation) -> Result<u64, Refusal> {
        let action = self.change(|state| {
            let image = owned(state, id)?;
            let at = image.regions.iter().next().cloned().unwrap_or_default();
            if let Operation::Transfer { region } = &operation {
                if !catalog::region_by_slug(region).is_some_and(|region| region.available) {
                    return Err(Refusal::because("The region you specified is invalid or unavailable."));
                }
                if image.regions.contains(region) {
                    return Err(Refusal::because("The image is already available in this region."));
                }
                if state.actions.values().any(|action| {
                    action.resource_id == id
                        && action.progress == super::model::Progress::Running
                        && action.operation == operation
                }) {
                    return Err(Refusal::because("The image is already being transferred to this region."));
                }
            }
            Ok(record(state, operation, Resource::Image, id, &at))
        })?;
        self.launch(action);
        Ok(action)
    }

    /// Renames a snapshot, or changes its description.
    pub(crate) fn update_image(
        &self,
        id: u64,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Image, Refusal> {
        self.change(|state| {
            owned(state, id)?;
            let image = state.images.get_mut(&id).ok_or(Refusal::NotFound)?;
            image.name = name.unwrap_or_else(|| image.name.clone());
            image.description = description.unwrap_or_else(|| image.description.clone());
            Ok(image.clone())
        })
    }

    /// Deletes a snapshot; returns when it is gone.
    pub(crate) async fn destroy_image(self: &Arc<Self>, id: u64) -> Result<(), Refusal> {
        let action = self.change(|state| {
            let image = owned(state, id)?;
            let at = image.regions.iter().next().cloned().unwrap_or_default();
            if state.under_way(Resource::Image, id) {
                return Err(Refusal::because("The image already has a pending event."));
            }
            Ok(record(state, Operation::Destroy, Resource::Image, id, &at))
        })?;
        self.see_through(action).await
    }
}

/// The image, if it is the account's own to change.
fn owned(state: &State, id: u64) -> Result<&Image, Refusal> {
    match state.images.get(&id) {
        Some(image) => Ok(image),
        None if catalog::image_by_id(id).is_some() => {
            Err(Refusal::because("You do not have permission to change this image, it is a public one."))
        }
        None => Err(Refusal::NotFound),
    }
}
