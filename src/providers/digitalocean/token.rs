//! The API token: from the environment, in the order in which tools commonly name it, then from the configuration of
//! DigitalOcean's own tool, doctl. Never from the command line, which others can read.

use std::path::PathBuf;

use crate::providers::Token;

const VARIABLES: [&str; 3] = ["DIGITALOCEAN_API_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];

pub(super) const HELP: &str = "set DIGITALOCEAN_API_TOKEN (or DIGITALOCEAN_TOKEN, DIGITALOCEAN_ACCESS_TOKEN, or run \
                               `doctl auth init`) to bake at DigitalOcean";

pub(super) fn find() -> Option<Token> {
    let from_variable = |name: &&str| {
        let token = std::env::var(name).ok().filter(|token| !token.trim().is_empty())?;
        Some(Token { value: token.trim().to_owned().into(), origin: (*name).to_owned() })
    };
    VARIABLES.iter().find_map(from_variable).or_else(doctl_token)
}

/// The token of doctl's current context.
fn doctl_token() -> Option<Token> {
    let path = doctl_config()?;
    let text = std::fs::read_to_string(&path).ok()?;
    let tree = yaml11::parse(&text).ok()?;
    let root = tree.root()?;
    let text = |key: &str| root.get(key).and_then(yaml11::Node::as_str).filter(|text| !text.is_empty());
    // doctl prefers its own variable to its file.
    let chosen = std::env::var("DIGITALOCEAN_CONTEXT").ok().filter(|name| !name.is_empty());
    let context = chosen.as_deref().or_else(|| text("context")).unwrap_or("default");
    let token = match context {
        "default" => text("access-token"),
        name => root.get("auth-contexts").and_then(|contexts| contexts.get(name)).and_then(yaml11::Node::as_str),
    }?;
    let origin = format!("doctl's context `{context}` in {}", path.display());
    Some(Token { value: token.trim().to_owned().into(), origin }).filter(|_| !token.trim().is_empty())
}

fn doctl_config() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().ok()?;
    let xdg = base.config_dir().join("doctl").join("config.yaml");
    // Where doctl keeps it on macOS.
    let library = base.home_dir().join("Library/Application Support/doctl/config.yaml");
    Some(if !xdg.is_file() && library.is_file() { library } else { xdg })
}
