//! Which address means which name in one sandbox.
//!
//! A name gets a number when it is first asked for, and with it an address in 198.18.0.0/15 (set aside for benchmarks, RFC 2544:
//! never on the internet) and one in a unique local IPv6 network. An address keeps its name for the sandbox's whole life: when
//! the table is full the name that was unused longest is forgotten and its address leads nowhere from then on, but it is never
//! given to another name. So a connection cannot be taken for one to another host.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hangar_protocol::guest::BORDER_HOST;

use crate::{
    host::HostName,
    limits::{ADDRESSES_MAX, NAMES_MAX},
};

/// Where the sandbox's `resolv.conf` should point. Questions to any other address are answered as well.
pub const NAME_SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 53);
/// See [`NAME_SERVER_V4`].
pub const NAME_SERVER_V6: Ipv6Addr = v6_of(53);

/// `hangar.internal`.
const INNER_NUMBER: u32 = 1;
/// Numbers below are hangar's own.
const FIRST_NUMBER: u32 = 256;
const V4_BASE: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();

/// The names of one sandbox.
#[derive(Debug)]
pub struct Names {
    numbers: HashMap<HostName, Entry>,
    names: HashMap<u32, HostName>,
    next: u32,
    /// Counts uses, to know which is the oldest.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    number: u32,
    used: u64,
}

const fn v6_of(number: u32) -> Ipv6Addr {
    Ipv6Addr::new(0xfd68, 0x616e, 0x6761, 0x7200, 0, 0, (number >> 16) as u16, (number & 0xffff) as u16)
}

/// The two addresses of a number.
fn addresses_of(number: u32) -> (Ipv4Addr, Ipv6Addr) {
    (Ipv4Addr::from_bits(V4_BASE + number), v6_of(number))
}

/// The number that an address stands for, if it is one of these networks.
fn number_of(address: IpAddr) -> Option<u32> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().checked_sub(V4_BASE).filter(|number| *number < 1 << 17),
        IpAddr::V6(address) => {
            let [.., high, low] = address.segments();
            let number = u32::from(high) << 16 | u32::from(low);
            (address == v6_of(number)).then_some(number)
        }
    }
}

impl Names {
    /// No names but `hangar.internal`.
    #[must_use]
    pub fn new() -> Self {
        let mut names = Self { numbers: HashMap::new(), names: HashMap::new(), next: FIRST_NUMBER, uses: 0 };
        if let Ok(inner) = HostName::parse(BORDER_HOST) {
            // Never the oldest.
            names.numbers.insert(inner.clone(), Entry { number: INNER_NUMBER, used: u64::MAX });
            names.names.insert(INNER_NUMBER, inner);
        }
        names
    }

    /// The addresses of a name, given now if it has none. `None` when the sandbox has used up all addresses.
    pub fn addresses(&mut self, name: &HostName) -> Option<(Ipv4Addr, Ipv6Addr)> {
        self.uses += 1;
        if let Some(entry) = self.numbers.get_mut(name) {
            entry.used = entry.used.max(self.uses);
            return Some(addresses_of(entry.number));
        }
        if self.next >= ADDRESSES_MAX {
            return None;
        }
        if self.numbers.len() >= NAMES_MAX {
            self.forget_oldest();
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(name.clone(), Entry { number, used: self.uses });
        self.names.insert(number, name.clone());
        Some(addresses_of(number))
    }

    /// The name that an address was given to. Counts as a use.
    pub fn name(&mut self, address: IpAddr) -> Option<HostName> {
        let name = self.names.get(&number_of(address)?)?.clone();
        self.uses += 1;
        if let Some(entry) = self.numbers.get_mut(&name) {
            entry.used = entry.used.max(self.uses);
        }
        Some(name)
    }

    /// The name that an address was given to, without counting.
    #[must_use]
    pub fn peek(&self, address: IpAddr) -> Option<&HostName> {
        self.names.get(&number_of(address)?)
    }

    /// How many names have addresses now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// A walk over the table, which questions may cause only as often as they are answered at all.
    fn forget_oldest(&mut self) {
        let oldest =
            self.numbers.iter().min_by_key(|(_, entry)| entry.used).map(|(name, entry)| (name.clone(), entry.number));
        if let Some((name, number)) = oldest {
            self.numbers.remove(&name);
            self.names.remove(&number);
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn a_name_keeps_its_addresses_and_an_address_its_name() {
        let mut names = Names::new();
        let (v4, v6) = names.addresses(&host("example.org")).unwrap();
        assert_eq!(names.addresses(&host("EXAMPLE.org.")), Some((v4, v6)));
        assert_ne!(names.addresses(&host("other.org")), Some((v4, v6)));
        for address in [IpAddr::V4(v4), IpAddr::V6(v6), IpAddr::V6(v4.to_ipv6_mapped())] {
            assert_eq!(names.name(address), Some(host("example.org")));
        }
        for unknown in ["198.18.255.1", "93.184.216.34", "fd00::1", "::1", "198.20.0.0"] {
            assert_eq!(names.name(unknown.parse().unwrap()), None);
        }
        assert_eq!(names.name(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1))), Some(host(BORDER_HOST)));
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_gives_no_address_twice() {
        let mut names = Names::new();
        let (kept, _) = names.addresses(&host("kept.test")).unwrap();
        let (first, _) = names.addresses(&host("n0.test")).unwrap();
        for count in 1..2 * u32::try_from(NAMES_MAX).unwrap() {
            let (v4, _) = names.addresses(&host(&format!("n{count}.test"))).unwrap();
            assert_ne!(v4, first);
            assert_eq!(names.name(IpAddr::V4(kept)), Some(host("kept.test")));
        }
        assert_eq!(names.len(), NAMES_MAX);
        assert_eq!(names.name(IpAddr::V4(first)), None);
        assert_ne!(names.addresses(&host("n0.test")).unwrap().0, first);
        assert_eq!(names.addresses(&host(BORDER_HOST)).unwrap().0, hangar_protocol::guest::BORDER_ADDRESS);
    }

    #[test]
    fn addresses_run_out_instead_of_coming_again() {
        let mut names = Names { next: ADDRESSES_MAX - 1, ..Names::new() };
        assert!(names.addresses(&host("last.test")).is_some());
        assert_eq!(names.addresses(&host("more.test")), None);
        assert!(names.addresses(&host("last.test")).is_some());
    }
}
