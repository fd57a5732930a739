//! Where the API token comes from: the environment, in the order in which tools are known to name it, then doctl's own
//! configuration. Never the command line, which others can read.

use std::path::PathBuf;

use secrecy::SecretString;

use super::Failure;
use crate::source::Source;
use crate::yaml;

const VARIABLES: [&str; 3] = ["DIGITALOCEAN_API_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];

/// A token and where it was found.
pub(in crate::cli) struct Found {
    pub(in crate::cli) token: SecretString,
    pub(in crate::cli) origin: String,
}

/// Looks for a token; without one, says both ways to bake.
pub(in crate::cli) fn find() -> Result<Found, Failure> {
    for name in VARIABLES {
        if let Ok(token) = std::env::var(name)
            && !token.trim().is_empty()
        {
            return Ok(Found { token: token.trim().to_owned().into(), origin: name.to_owned() });
        }
    }
    if let Some(found) = doctl() {
        return Ok(found);
    }
    Err(Failure::usage("there is no DigitalOcean API token").with_help(
        "set DIGITALOCEAN_API_TOKEN (or DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN, or run `doctl auth init`) to bake \
         at DigitalOcean, or use --local to bake on this machine without an account",
    ))
}

/// The token of doctl's current context.
fn doctl() -> Option<Found> {
    let path = doctl_config()?;
    let text = std::fs::read_to_string(&path).ok()?;
    let source = Source::new(path.display().to_string(), text);
    let tree = yaml::parse(source.text()).ok()?;
    let root = tree.root()?;
    let text = |key: &str| root.get(key).and_then(yaml::Node::as_str).filter(|text| !text.is_empty());
    // doctl lets its own variable win over its file.
    let chosen = std::env::var("DIGITALOCEAN_CONTEXT").ok().filter(|name| !name.is_empty());
    let context = chosen.as_deref().or_else(|| text("context")).unwrap_or("default");
    let token = match context {
        "default" => text("access-token"),
        name => root.get("auth-contexts").and_then(|contexts| contexts.get(name)).and_then(yaml::Node::as_str),
    }?;
    let origin = format!("doctl's context `{context}` in {}", path.display());
    Some(Found { token: token.trim().to_owned().into(), origin }).filter(|_| !token.trim().is_empty())
}

fn doctl_config() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().ok()?;
    let xdg = base.config_dir().join("doctl").join("config.yaml");
    // Where doctl keeps it on macOS.
    let library = base.home_dir().join("Library/Application Support/doctl/config.yaml");
    Some(if !xdg.is_file() && library.is_file() { library } else { xdg })
}
