//! Droplets that are QEMU virtual machines.

use std::convert::Infallible;

use tokio::sync::mpsc::UnboundedSender;

use super::Config;
use super::backend::{Error, Event};

pub(super) async fn open(
    _config: &Config,
    _events: UnboundedSender<Event>,
) -> Result<(Infallible, Vec<String>), Error> {
    Err(Error::NoAddress)
}
