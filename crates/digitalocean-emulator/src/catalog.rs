//! What the emulated service offers: regions, sizes, base images and the private network. Names,
//! sizes and prices are DigitalOcean's public ones. The tables are short on purpose, with one of
//! each kind that a client must handle: a closed region, a retired size, a size that some regions
//! lack.

use std::net::Ipv4Addr;

/// A datacentre region.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    pub(crate) available: bool,
}

/// A droplet size.
#[derive(Debug, PartialEq)]
pub(crate) struct Size {
    pub(crate) slug: &'static str,
    pub(crate) description: &'static str,
    pub(crate) vcpus: u32,
    /// In MiB.
    pub(crate) memory: u32,
    /// In GiB.
    pub(crate) disk: u32,
    /// In TiB a month.
    pub(crate) transfer: f64,
    /// In US dollars.
    pub(crate) price_monthly: f64,
    pub(crate) available: bool,
    /// The slugs of regions that lack it.
    pub(crate) not_in: &'static [&'static str],
}

impl Size {
    /// In US dollars: a month is billed as 672 hours.
    pub(crate) fn price_hourly(&self) -> f64 {
        (self.price_monthly / 672.0 * 100_000.0).round() / 100_000.0
    }

    pub(crate) fn is_in(&self, region: &Region) -> bool {
        self.available && region.available && !self.not_in.contains(&region.slug)
    }
}

/// A base image that the service offers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BaseImage {
    pub(crate) id: u64,
    pub(crate) slug: &'static str,
    pub(crate) distribution: &'static str,
    pub(crate) name: &'static str,
    /// In GiB.
    pub(crate) min_disk: u32,
}

/// The private network, 10.108.0.0/20 as in a region's default VPC. All droplets of an account are
/// on it.
pub(crate) const PRIVATE_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 108, 0, 0);
pub(crate) const PRIVATE_NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 240, 0);
/// What the service names as the gateway. Nothing answers there.
pub(crate) const PRIVATE_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 108, 0, 1);

/// Features that every region has.
pub(crate) const FEATURES: [&str; 6] = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"];

const fn region(slug: &'static str, name: &'static str, available: bool) -> Region {
    Region { slug, name, available }
}

pub(crate) static REGIONS: [Region; 12] = [
    region("nyc1", "New York 1", true),
    region("sfo1", "San Francisco 1", false),
    region("nyc3", "New York 3", true),
    region("ams3", "Amsterdam 3", true),
    region("sgp1", "Singapore 1", true),
    region("lon1", "London 1", true),
    region("fra1", "Frankfurt 1", true),
    region("tor1", "Toronto 1", true),
    region("sfo2", "San Francisco 2", true),
    region("blr1", "Bangalore 1", true),
    region("sfo3", "San Francisco 3", true),
    region("syd1", "Sydney 1", true),
];

const fn basic(slug: &'static str, vcpus: u32, memory: u32, disk: u32, transfer: f64, price_monthly: f64) -> Size {
    Size { slug, description: "Basic", vcpus, memory, disk, transfer, price_monthly, available: true, not_in: &[] }
}

pub(crate) static SIZES: [Size; 9] = [
    Size { not_in: &["nyc3", "tor1", "sfo2", "lon1", "blr1"], ..basic("s-1vcpu-512mb-10gb", 1, 512, 10, 0.5, 4.0) },
    basic("s-1vcpu-1gb", 1, 1024, 25, 1.0, 6.0),
    basic("s-1vcpu-2gb", 1, 2048, 50, 2.0, 12.0),
    basic("s-2vcpu-2gb", 2, 2048, 60, 3.0, 18.0),
    basic("s-2vcpu-4gb", 2, 4096, 80, 4.0, 24.0),
    basic("s-4vcpu-8gb", 4, 8192, 160, 5.0, 48.0),
    basic("s-8vcpu-16gb", 8, 16384, 320, 6.0, 96.0),
    Size { description: "General Purpose", ..basic("g-2vcpu-8gb", 2, 8192, 25, 4.0, 63.0) },
    Size { description: "Legacy Basic", available: false, ..basic("1gb", 1, 1024, 30, 2.0, 10.0) },
];

const fn image(
    id: u64,
    slug: &'static str,
    distribution: &'static str,
    name: &'static str,
    min_disk: u32,
) -> BaseImage {
    BaseImage { id, slug, distribution, name, min_disk }
}

pub(crate) static IMAGES: [BaseImage; 4] = [
    image(129_211_873, "ubuntu-22-04-x64", "Ubuntu", "22.04 (LTS) x64", 7),
    image(155_133_621, "ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64", 7),
    image(148_642_187, "debian-12-x64", "Debian", "12 x64", 7),
    image(195_932_981, "debian-13-x64", "Debian", "13 x64", 7),
];

pub(crate) fn region_by_slug(slug: &str) -> Option<&'static Region> {
    REGIONS.iter().find(|region| region.slug == slug)
}

pub(crate) fn size_by_slug(slug: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.slug == slug)
}

pub(crate) fn image_by_slug(slug: &str) -> Option<&'static BaseImage> {
    IMAGES.iter().find(|image| image.slug == slug)
}

pub(crate) fn image_by_id(id: u64) -> Option<&'static BaseImage> {
    IMAGES.iter().find(|image| image.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn slugs_and_ids_are_unique() {
        let regions: BTreeSet<_> = REGIONS.iter().map(|region| region.slug).collect();
        let sizes: BTreeSet<_> = SIZES.iter().map(|size| size.slug).collect();
        let images: BTreeSet<_> = IMAGES.iter().map(|image| (image.slug, image.id)).collect();
        assert_eq!((regions.len(), sizes.len(), images.len()), (REGIONS.len(), SIZES.len(), IMAGES.len()));
    }

    #[test]
    fn memory_is_a_multiple_of_eight_and_prices_are_what_the_service_lists() {
        for size in &SIZES {
            assert_eq!(size.memory % 8, 0, "{}", size.slug);
        }
        let small = size_by_slug("s-1vcpu-1gb").expect("the usual size");
        assert!((small.price_hourly() - 0.00893).abs() < 1e-9);
    }

    #[test]
    fn a_size_can_be_missing_from_a_region() {
        let size = size_by_slug("s-1vcpu-512mb-10gb").expect("the smallest size");
        let nyc3 = region_by_slug("nyc3").expect("a region");
        let nyc1 = region_by_slug("nyc1").expect("a region");
        assert!(!size.is_in(nyc3) && size.is_in(nyc1));
    }
}
