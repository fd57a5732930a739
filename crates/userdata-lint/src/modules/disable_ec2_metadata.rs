//! `cc_disable_ec2_metadata`: A route that hides the EC2 metadata service.

use super::Module;
use crate::shape::BOOLEAN;

pub(crate) const MODULE: Module = Module::new("disable_ec2_metadata", &[("disable_ec2_metadata", BOOLEAN)]);
