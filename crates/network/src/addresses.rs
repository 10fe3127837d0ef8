//! Which addresses a sandbox never reaches, whatever name leads there.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates), and what cloud providers document
//! about the addresses of their metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// The machine itself: 127/8, `::1`, 0/8.
    Loopback,
    /// Private networks: RFC 1918 and unique local addresses.
    Private,
    /// Carrier-grade NAT, 100.64/10, which VPNs and clusters use as well.
    Shared,
    /// Link-local addresses.
    LinkLocal,
    /// A cloud's metadata or management service.
    Metadata,
    /// Multicast and broadcast.
    Multicast,
    /// Reserved, for documentation, or for benchmarks.
    Reserved,
    /// An IPv6 address that has another address inside: v4-mapped, v4-compatible, NAT64, 6to4, Teredo.
    Embedded,
    /// An address of an interface of this machine.
    Own,
}

/// Metadata services at addresses that look like others. AWS's IPv6 one and Alibaba's and Oracle's are in private, shared and
/// reserved ranges; Azure's wire server is in a public one.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Why this address is refused; `None` for one of the public internet.
#[must_use]
pub fn kind_of(address: IpAddr) -> Option<AddressKind> {
    if METADATA.contains(&address) {
        return Some(AddressKind::Metadata);
    }
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<AddressKind> {
    use AddressKind::{LinkLocal, Loopback, Multicast, Private, Reserved, Shared};
    match address.octets() {
        [0 | 127, ..] => Some(Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Private),
        [100, 64..=127, ..] => Some(Shared),
        [169, 254, ..] => Some(LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Some(Multicast),
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [240..=255, ..] => Some(Reserved),
        _ => None,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Option<AddressKind> {
    use AddressKind::{Embedded, LinkLocal, Loopback, Multicast, Private, Reserved};
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Loopback),
        // ::a.b.c.d, ::ffff:a.b.c.d, ::ffff:0:a.b.c.d
        [0, 0, 0, 0, 0 | 0xffff, _, _, _] => Some(Embedded),
        // NAT64, well known and local.
        [0x64, 0xff9b, ..] => Some(Embedded),
        // Teredo; 6to4.
        [0x2001, 0, ..] | [0x2002, ..] => Some(Embedded),
        // The rest of the IETF's special block: benchmarks, ORCHID, AMT, …
        [0x2001, 0..=0x1ff, ..] => Some(Reserved),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(Reserved),
        [0x2000..=0x3fff, ..] => None,
        [0xfc00..=0xfdff, ..] => Some(Private),
        [0xfe80..=0xfebf, ..] => Some(LinkLocal),
        [0xfec0..=0xfeff, ..] => Some(Private),
        [0xff00..=0xffff, ..] => Some(Multicast),
        // Only 2000::/3 is given out as global unicast.
        _ => Some(Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_known_in_every_form() {
        use AddressKind::{Embedded, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Shared};
        let table = [
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("0.0.0.0", Loopback),
            ("0.1.2.3", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Shared),
            ("100.127.255.255", Shared),
            ("169.254.0.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("192.0.0.192", Metadata),
            ("192.0.0.8", Reserved),
            ("192.0.2.1", Reserved),
            ("192.88.99.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.19.255.255", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Multicast),
            ("::", Loopback),
            ("::1", Loopback),
            ("::127.0.0.1", Embedded),
            ("::ffff:127.0.0.1", Embedded),
            ("::ffff:93.184.216.34", Embedded),
            ("::ffff:0:10.0.0.1", Embedded),
            ("64:ff9b::a9fe:a9fe", Embedded),
            ("64:ff9b:1::1", Embedded),
            ("2001::1", Embedded),
            ("2002:7f00:1::1", Embedded),
            ("2001:2::1", Reserved),
            ("2001:20::1", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("5f00::1", Reserved),
            ("100::1", Reserved),
            ("fc00::1", Private),
            ("fd12:3456::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("fe80::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Multicast),
            ("4000::1", Reserved),
        ];
        for (address, kind) in table {
            assert_eq!(kind_of(address.parse().unwrap()), Some(kind), "{address}");
        }
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1",
            "2001:4860:4860::8888",
            "2a00::1",
            "3ffe::1",
        ] {
            assert_eq!(kind_of(public.parse().unwrap()), None, "{public}");
        }
    }
}
