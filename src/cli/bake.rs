//! `mkimg bake [TEMPLATE]`: composes project, document, linter, provider, status channel and
//! journal into one bake.

pub(super) mod advice;
mod api;
mod args;
mod artifacts;
mod documents;
mod output;
mod prepare;
mod run;
mod state;
mod upload;

#[cfg(test)]
pub(super) use api::tests::unused_api;
pub(super) use api::{AccountUnknown, Api, ApiArgs};
pub(super) use args::{Args, report_path};
pub(super) use artifacts::ArtifactDirectory;
pub(super) use documents::BakeDocuments;
pub(super) use output::SharedTerminal;
pub(super) use run::BakeRun;
pub(super) use state::{FileJournal, KnownBake, close_journal, known_bakes};
pub(super) use upload::upload_index;

use super::runtime::block_on;
use super::{Failure, Global, options, project};

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let variants = options::variants(&args.template, &args.matrix)?;
    // A missing token is reported before anything else is read, but not if there is nothing to
    // bake.
    for variant in &variants {
        project::find(global, variant.template.as_deref())?;
    }
    let target = args.api.target()?;
    let mut prepared = Vec::new();
    for variant in variants {
        let bake = prepare::prepare(args, global, &variant, target.is_local())?;
        prepared.push((variant, bake));
    }
    block_on(async {
        let api = args.api.open(target, global).await?;
        let result = Box::pin(run::run_all(args, global, prepared, &api)).await;
        api.close(global).await;
        result
    })
}
