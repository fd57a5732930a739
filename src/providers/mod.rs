//! Clients of providers' APIs, each an implementation of [`crate::bake::ports::Provider`].
//!
//! To add a provider: a folder beside `digitalocean` with wire types of its own, and a line here.

pub mod digitalocean;
