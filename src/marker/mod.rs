//! The controller's end of the droplet's status channel: the bake's own certificate and token, and the client that pins
//! them. The droplet's end is the runner; `docs/design/first-boot.md` has the contract.
//!
//! The name in the certificate is never resolved, and no authority signs it. The server must prove that it has the key of
//! exactly this certificate, which a recycled address, a scanner or a man in the middle cannot.

#![allow(clippy::disallowed_methods, reason = "edge: this module talks to the network")]

mod client;
mod credentials;
mod pin;
#[cfg(test)]
mod tests;

pub use client::{Client, Limits};
pub use credentials::{Credentials, CredentialsError};

/// The port of the status channel on the droplet.
pub const PORT: u16 = 8443;
