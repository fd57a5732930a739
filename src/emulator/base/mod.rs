//! Base images: the disks that droplets start from.
