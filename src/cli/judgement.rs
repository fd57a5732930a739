//! Judging the document that a template becomes: with what the template allows, and without its secrets.

use super::contents;
use super::project::Opened;
use crate::diag::{self, Diagnostic, Document};
use crate::model::{Assignment, Places, Plan};
use crate::render;
use crate::source::{Source, Span};
use crate::validate::{self, Allowance, Options};

/// What the rendered document is judged to be, and what is wrong with the template's own `allow:`.
pub(super) struct Judgement {
    pub document: Document,
    pub allow: Vec<Diagnostic>,
}

/// Judges a rendered document of this name. `secrets` are kept out of what is shown.
///
/// A document whose scripts travel in the runner's entry fits only so; what it says is judged where they have entries of their own.
pub(super) fn rendered(
    name: &str,
    document: &render::Document,
    plan: &Plan,
    places: &Places,
    secrets: &[String],
    options: &Options,
) -> Option<Judgement> {
    let base_image = plan.droplet.as_ref().map(|droplet| droplet.image.clone());
    let mut options = Options { base_image, ..options.clone() };
    let roomy = if document.carried.is_empty() { None } else { render::render(plan, None).ok() };
    if roomy.is_some() {
        (options.providers, options.limit) = (Vec::new(), None);
    }
    let text = roomy.as_ref().map_or(document.text.as_str(), |roomy| roomy.text.as_str());
    let mut documents = validate::validate(&Source::new(name, text), &options).documents;
    let mut document = documents.pop()?;
    let allowances = plan.allow.iter().map(|allowed| Allowance {
        rule: allowed.code.clone(),
        path: allowed.path.clone(),
        reason: allowed.reason.clone(),
    });
    let place = |path: &str| places.get(path).copied().unwrap_or_else(|| Span::at(0));
    let allow = validate::from_outside(&mut document, &allowances.collect::<Vec<_>>(), &place);
    contents::remove_repeated(plan, &Source::new(name, text), &mut document);
    diag::redact(&mut document, secrets);
    Some(Judgement { document, allow })
}

/// The values of sensitive variables, wherever they come from.
pub(super) fn secrets(opened: &Opened, assignments: &[Assignment]) -> Vec<String> {
    let names: Vec<&str> = opened.template.sensitive().collect();
    let given =
        assignments.iter().filter(|given| names.contains(&given.name.as_str())).map(|given| given.value.clone());
    let environment = names.iter().filter_map(|name| std::env::var(crate::model::environment_name(name)).ok());
    given.chain(environment).collect()
}
