//! What a guest may send: the internet, but not this machine.
//!
//! QEMU's user network opens connections as this process's user. Without a firewall, a guest reaches what listens on the
//! host's loopback interface (as `10.0.2.2` and other addresses) and the host's own metadata service. So QEMU hands each
//! frame of the guest to this module (`filter-redirector`), which gives back only what is allowed. If this side is gone,
//! the guest has no network.

use std::io::{Error, ErrorKind};
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::process::connect;
use crate::backend::port::{GATEWAY, HostPorts};

/// Sockets in the droplet's folder.
const FROM_GUEST: &str = "from-guest.sock";
const TO_NETWORK: &str = "to-network.sock";

/// QEMU's own limit of a frame.
const MAX_FRAME_BYTES: usize = 4096 + 65_536;

pub(super) const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// QEMU's arguments for the network device with this id.
pub(super) fn arguments(netdev: &str) -> [(&'static str, String); 3] {
    let socket = |id: &str, path: &str| format!("socket,id={id},path={path},server=on,wait=off");
    [
        ("-chardev", socket("from-guest", FROM_GUEST)),
        ("-chardev", socket("to-network", TO_NETWORK)),
        (
            "-object",
            format!("filter-redirector,id=firewall,netdev={netdev},queue=rx,outdev=from-guest,indev=to-network"),
        ),
    ]
}

/// Filters the frames of the machine in this folder until it ends.
pub(super) async fn start(folder: &Path, ports: HostPorts) -> std::io::Result<()> {
    let (from, to) = (connect(folder, FROM_GUEST).await?, connect(folder, TO_NETWORK).await?);
    // An error means that QEMU has ended.
    tokio::spawn(async move { forward(from, to, &ports).await });
    Ok(())
}

/// Each frame follows its length.
async fn forward(from: UnixStream, mut to: UnixStream, ports: &HostPorts) -> std::io::Result<()> {
    let (mut from, mut frame) = (BufReader::with_capacity(1 << 16, from), Vec::new());
    loop {
        let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        frame.resize(4 + length, 0);
        frame[..4].copy_from_slice(&u32::try_from(length).unwrap_or_default().to_be_bytes());
        from.read_exact(&mut frame[4..]).await?;
        if is_allowed(&frame[4..], ports) {
            to.write_all(&frame).await?;
        }
    }
}

/// Whether a guest may send this Ethernet frame.
fn is_allowed(frame: &[u8], ports: &HostPorts) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x06]) => true,
        Some([0x08, 0x00]) => is_allowed_packet(&frame[14..], ports),
        // IPv6 is off.
        _ => false,
    }
}

fn is_allowed_packet(packet: &[u8], ports: &HostPorts) -> bool {
    const ICMP: u8 = 1;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const DHCP: u16 = 67;
    const DNS: u16 = 53;
    let Some((header, _)) = packet.split_first_chunk::<20>() else { return false };
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let network = destination.octets();
    let is_gateway = destination == GATEWAY;
    let is_local = network[..3] == GATEWAY.octets()[..3] || destination.is_broadcast();
    if !is_local {
        // "This host", loopback and link-local addresses lead to the host; multicast and reserved ones nowhere.
        return !(network[0] == 0 || destination.is_loopback() || destination.is_link_local() || network[0] >= 224);
    }
    // The rest of a fragmented packet has no ports.
    let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let data = packet.get(usize::from(header[0] & 0x0f) * 4..).unwrap_or_default();
    let port = data.get(2..4).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let Some(port) = port.filter(|_| !is_fragment) else { return false };
    match header[9] {
        // QEMU itself answers a ping.
        ICMP => is_gateway || destination == NAME_SERVER,
        UDP if port == DHCP => is_gateway || destination.is_broadcast(),
        // Connections from the host to a forwarded port come from the gateway: the guest answers, and never begins one.
        TCP if is_gateway => ports.contains(port) || data.get(13).is_some_and(|flags| !begins_connection(*flags)),
        UDP | TCP => destination == NAME_SERVER && port == DNS,
        _ => false,
    }
}

/// QEMU opens a connection if, of these flags of a TCP packet, SYN is the only one.
fn begins_connection(flags: u8) -> bool {
    const FIN_SYN_RST_ACK_URG: u8 = 0x37;
    const SYN: u8 = 0x02;
    flags & FIN_SYN_RST_ACK_URG == SYN
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;

    fn packet(protocol: u8, to: [u8; 4], port: u16, flags: u8) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x45;
        frame[14 + 9] = protocol;
        frame[14 + 16..14 + 20].copy_from_slice(&to);
        frame[34 + 2..34 + 4].copy_from_slice(&port.to_be_bytes());
        frame[34 + 13] = flags;
        frame
    }

    #[test]
    fn a_guest_reaches_the_internet_but_not_the_host() {
        let ports = HostPorts::default();
        ports.allow(8000);
        let allows = |protocol, to, port, flags| is_allowed(&packet(protocol, to, port, flags), &ports);
        for (to, port) in
            [([93, 184, 216, 34], 443), ([10, 255, 255, 53], 80), ([10, 0, 2, 2], 8000), ([10, 0, 2, 3], 53)]
        {
            assert!(allows(6, to, port, SYN), "{to:?}:{port}");
        }
        assert!(allows(17, [10, 0, 2, 3], 53, 0) && allows(17, [255; 4], 67, 0) && allows(1, [10, 0, 2, 2], 0, 0));
        assert!(allows(6, [10, 0, 2, 2], 40_000, SYN_ACK), "an answer to the host");
        for to in [
            [127, 0, 0, 1],
            [127, 64, 1, 1],
            [169, 254, 169, 254],
            [0, 0, 0, 0],
            [10, 0, 2, 2],
            [10, 0, 2, 3],
            // Every address of QEMU's network leads to the host's loopback interface.
            [10, 0, 2, 100],
            [10, 0, 2, 255],
            [224, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            assert!(!allows(6, to, 22, SYN) && !allows(17, to, 123, 0), "{to:?}");
        }
        // ECN's flags do not hide a SYN.
        assert!(!allows(6, [10, 0, 2, 2], 22, 0xc2));
    }

    #[test]
    fn neither_fragments_nor_other_protocols_get_around_it() {
        let ports = HostPorts::default();
        let syn = packet(6, [10, 0, 2, 2], 22, SYN);
        for at in [20, 21] {
            let mut fragment = packet(6, [10, 0, 2, 2], 22, SYN_ACK);
            fragment[at] = if at == 20 { 0x20 } else { 1 };
            assert!(!is_allowed(&fragment, &ports));
        }
        let mut options = syn.clone();
        options[14] = 0x4f;
        assert!(!is_allowed(&options, &ports), "a header as long as the packet");
        for kind in [[0x86, 0xdd], [0x81, 0x00], [0x88, 0xf8]] {
            let mut other = syn.clone();
            other[12..14].copy_from_slice(&kind);
            assert!(!is_allowed(&other, &ports), "{kind:x?}");
        }
        for length in 0..34 {
            assert!(!is_allowed(&syn[..length], &ports), "{length}");
        }
        assert!(is_allowed(&[&[0; 12][..], &[0x08, 0x06]].concat(), &ports), "ARP");
    }

    #[tokio::test]
    async fn frames_are_forwarded_one_by_one() {
        let ((mut guest, from), (to, mut network)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let filter = tokio::spawn(async move { forward(from, to, &HostPorts::default()).await });
        let (good, bad) = (packet(6, [1, 1, 1, 1], 443, SYN), packet(6, [127, 0, 0, 1], 22, SYN));
        for frame in [&bad, &good, &bad, &good] {
            guest.write_u32(u32::try_from(frame.len()).unwrap()).await.unwrap();
            guest.write_all(frame).await.unwrap();
        }
        drop(guest);
        assert_eq!(filter.await.unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let mut received = Vec::new();
        network.read_to_end(&mut received).await.unwrap();
        let one = [&[0, 0, 0, 54][..], &good].concat();
        assert_eq!(received, [&one[..], &one].concat());
    }
}
