//! Which addresses this machine may connect to on somebody's behalf: cameras that people attach, channels that they set
//! up. Whoever may name an address would otherwise have a door to everything that the machine can reach.
//!
//! Only the addresses are judged here. Whoever connects resolves a name once, asks about every address of the answer,
//! and connects to one that was allowed.

use core::net::{IpAddr, Ipv6Addr};
use std::{fmt, str::FromStr};

/// Refused whatever the operator allows: what is no single host, and where clouds hand out the machine's own
/// credentials (169.254.169.254, 100.100.100.200, fd00:ec2::254).
const NEVER: [&str; 8] = [
    "0.0.0.0/8",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "169.254.169.254/32",
    "100.100.100.200/32",
    "::/128",
    "ff00::/8",
    "fd00:ec2::254/128",
];

/// What is no public address (RFC 6890 and its successors), so that a message to "the internet" does not end at the
/// neighbour's: this machine, private, link-local, carrier-grade, reserved and documentation networks, and the ways to
/// write an IPv4 address inside an IPv6 one.
const NOT_PUBLIC: [&str; 21] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/6",
];

/// Which addresses may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    allowed: Vec<Network>,
    public: bool,
}

impl Addresses {
    /// Addresses inside `networks` and no others.
    #[must_use]
    pub fn inside(networks: Vec<Network>) -> Addresses {
        Addresses {
            allowed: networks,
            public: false,
        }
    }

    /// Public addresses, and those inside `networks`.
    #[must_use]
    pub fn public_and(networks: Vec<Network>) -> Addresses {
        Addresses {
            allowed: networks,
            public: true,
        }
    }

    /// Whether a connection may go to `address`.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        let within = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        if within(&parsed(&NEVER)) {
            return false;
        }
        within(&self.allowed) || (self.public && !within(&parsed(&NOT_PUBLIC)))
    }

    /// The networks that were named.
    #[must_use]
    pub fn networks(&self) -> &[Network] {
        &self.allowed
    }
}

fn parsed(networks: &[&str]) -> Vec<Network> {
    let read = |text: &&str| text.parse().expect("the networks of this file are well formed");
    networks.iter().map(read).collect()
}

/// The longest text of a network: a full IPv6 address, `/128` and some room.
const MAX_NETWORK_BYTES: usize = 64;

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It does not read `address/prefix`.
    #[error("a network is written as address and prefix, such as 192.168.0.0/16 or fd00::/8")]
    Form,
    /// The prefix is longer than the address.
    #[error("the prefix of a network is at most 32 for IPv4 and 128 for IPv6")]
    Prefix,
    /// The address has bits beyond the prefix: one of the two is a slip.
    #[error("the address has bits beyond the prefix; write the network's first address, such as 10.0.0.0/8")]
    HostBits,
}

/// A range of addresses. IPv4 addresses that are written inside IPv6 (`::ffff:10.0.0.1`) count as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                masked(u128::from(address.to_bits()) << 96, self.prefix) == u128::from(first.to_bits()) << 96
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                masked(address.to_bits(), self.prefix) == first.to_bits()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The leading `prefix` bits of `bits`; the others are nought.
fn masked(bits: u128, prefix: u8) -> u128 {
    match u32::from(prefix) {
        0 => 0,
        prefix => bits & (u128::MAX << (128 - prefix.min(128))),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address/prefix`, or an address alone, which is a network of one.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        if text.len() > MAX_NETWORK_BYTES {
            return Err(NetworkError::Form);
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().or(Err(NetworkError::Form))?;
        let longest = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().or(Err(NetworkError::Prefix))?
            }
            Some(_) => return Err(NetworkError::Form),
        };
        if prefix > longest {
            return Err(NetworkError::Prefix);
        }
        let (first, prefix) = match written.to_canonical() {
            // `::ffff:0:0/96` is all of IPv4; a shorter prefix reaches beyond it and stays IPv6.
            IpAddr::V4(inner) if written.is_ipv6() && prefix >= 96 => (IpAddr::V4(inner), prefix - 96),
            _ => (written, prefix),
        };
        let network = Network { first, prefix };
        let bits = match first {
            IpAddr::V4(first) => u128::from(first.to_bits()) << 96,
            IpAddr::V6(first) => Ipv6Addr::to_bits(first),
        };
        if masked(bits, prefix) != bits {
            return Err(NetworkError::HostBits);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_message_goes_to_public_addresses_and_to_networks_that_are_named() {
        let public = Addresses::public_and(vec!["10.1.0.0/16".parse().unwrap()]);
        for allowed in ["8.8.8.8", "2400:3200::1", "::ffff:8.8.8.8", "10.1.2.3"] {
            assert!(public.allow(allowed.parse().unwrap()), "{allowed}");
        }
        for refused in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "10.2.0.1",
            "192.168.1.1",
            "172.31.0.1",
            "169.254.169.254",
            "169.254.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "fd00::1",
            "fec0::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001:0:7f00:1::",
        ] {
            assert!(!public.allow(refused.parse().unwrap()), "{refused}");
        }
        let everything = Addresses::inside(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        for never in [
            "169.254.169.254",
            "100.100.100.200",
            "::ffff:169.254.169.254",
            "239.1.1.1",
        ] {
            assert!(!everything.allow(never.parse().unwrap()), "{never}");
        }
        assert!(everything.allow("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let cases: [(&str, &[&str], &[&str]); 7] = [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["9.255.255.255", "11.0.0.0", "::10.1.2.3"],
            ),
            (
                "172.16.0.0/12",
                &["172.16.0.1", "172.31.255.255"],
                &["172.15.255.255", "172.32.0.0"],
            ),
            ("192.168.7.0/25", &["192.168.7.127"], &["192.168.7.128"]),
            ("0.0.0.0/0", &["8.8.8.8", "::ffff:8.8.8.8"], &["::1"]),
            ("fc00::/7", &["fd12::1", "fcff::"], &["fe80::1", "10.0.0.1"]),
            (
                "::ffff:192.168.0.0/112",
                &["192.168.3.4", "::ffff:192.168.3.4"],
                &["192.169.0.0"],
            ),
            (
                "127.0.0.1",
                &["127.0.0.1", "::ffff:127.0.0.1"],
                &["127.0.0.2", "::1"],
            ),
        ];
        for (text, inside, outside) in cases {
            let network: Network = text.parse().unwrap();
            for address in inside {
                assert!(
                    network.contains(address.parse().unwrap()),
                    "{text} holds {address}"
                );
            }
            for address in outside {
                assert!(
                    !network.contains(address.parse().unwrap()),
                    "{text} does not hold {address}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        let cases = [
            ("", NetworkError::Form),
            ("camera.local", NetworkError::Form),
            ("10.0.0.0/", NetworkError::Form),
            ("10.0.0.0/+8", NetworkError::Form),
            ("10.0.0.0/8/8", NetworkError::Form),
            ("10.0.0.0/33", NetworkError::Prefix),
            ("fc00::/129", NetworkError::Prefix),
            ("10.0.0.0/999", NetworkError::Prefix),
            ("192.168.1.7/16", NetworkError::HostBits),
            ("fc01::/7", NetworkError::HostBits),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<Network>(), Err(why), "{text}");
        }
        assert_eq!("1".repeat(65).parse::<Network>(), Err(NetworkError::Form));
    }

    proptest! {
        #[test]
        fn a_network_survives_being_written_and_read(bits in any::<u128>(), four in any::<bool>(), prefix in 0u8..=128) {
            let prefix = if four { prefix % 33 } else { prefix };
            let first = masked(bits, prefix);
            let first = if four {
                IpAddr::V4(core::net::Ipv4Addr::from_bits(u32::try_from(first >> 96).unwrap()))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(first))
            };
            let network: Network = format!("{first}/{prefix}").parse().unwrap();
            prop_assert!(network.contains(first));
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
            let read = text.parse::<Network>();
            prop_assert!(read.is_err() || text.contains(['.', ':']));
        }
    }
}
