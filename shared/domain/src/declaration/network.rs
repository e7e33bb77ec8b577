//! Which addresses are inside: never called for a payee unless its profile says `allow_private`. The worker asks this of
//! every address a name resolves to, right before it connects; a name proves nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is not a public unicast one: loopback, private, link-local, shared, reserved, multicast.
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        // 100.64/10 is shared by carriers, 198.18/15 is for benchmarks, 192.0.0/24 for protocols.
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        // 192.88.99/24 led to relays of 6to4, which are gone.
        || (a == 192 && b == 88 && c == 99)
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    // An IPv4 address in IPv6 clothes is judged as what it is: mapped, NAT64 (64:ff9b::/96), 6to4 (2002::/16).
    let segments = v6.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_private_v4(v4);
    }
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_private_v4(embedded(segments[6], segments[7]));
    }
    if segments[0] == 0x2002 {
        return is_private_v4(embedded(segments[1], segments[2]));
    }
    // Global unicast is 2000::/3 and nothing else, less what is set aside in it: 2001::/23 for protocols (Teredo, which holds
    // an IPv4 address, ORCHID, benchmarks), 2001:db8::/32 and 3fff::/20 for documents.
    segments[0] & 0xe000 != 0x2000
        || (segments[0] == 0x2001 && segments[1] < 0x0200)
        || segments[..2] == [0x2001, 0x0db8]
        || (segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::is_private_address;

    #[test]
    fn inside_and_outside() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::7f00:1",
            "192.88.99.1",
            "2001::1",
            "2001:10::1",
            "3fff:fff::1",
            "64:ff9b:1::808:808",
            "::8.8.8.8",
        ] {
            assert!(is_private_address(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:200::1",
            "3fff:1000::1",
            "2002:808:808::1",
        ] {
            assert!(!is_private_address(outside.parse().unwrap()), "{outside}");
        }
    }
}
