//! What the integration tests share. Each test binary includes it.

#![allow(dead_code, reason = "no binary needs all of it")]

pub(crate) mod loopback;
