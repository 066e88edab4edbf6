//! As much of DHCP (RFC 2131, RFC 2132) as it takes to learn an address once. The address is kept until the machine ends:
//! clouds give a machine the same one for life.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// What was offered and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) gateway: Option<Ipv4Addr>,
}

/// An answer of a server.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    kind: u8,
    server: Ipv4Addr,
    lease: Lease,
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS_AT: usize = 240;
/// How long one answer is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_millis(1500);
const ATTEMPTS: u32 = 8;

/// Asks on the interface `name` with the hardware address `mac`.
pub(super) fn lease(name: &str, mac: [u8; 6]) -> Option<Lease> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.set_broadcast(true).ok()?;
    socket.bind_device(Some(name.as_bytes())).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into()).ok()?;
    for attempt in 0..ATTEMPTS {
        // Answers are told apart by this number; who can see it can answer anyway.
        let number = [mac[4], mac[5], 0x50, u8::try_from(attempt).unwrap_or_default()];
        let Some(offer) = exchange(&socket, number, mac, DISCOVER, None) else { continue };
        let chosen = (offer.lease.address, offer.server);
        let answer = exchange(&socket, number, mac, REQUEST, Some(chosen));
        if let Some(answer) = answer.filter(|answer| answer.lease.address == offer.lease.address) {
            return Some(answer.lease);
        }
    }
    None
}

fn exchange(
    socket: &Socket,
    number: [u8; 4],
    mac: [u8; 6],
    kind: u8,
    chosen: Option<(Ipv4Addr, Ipv4Addr)>,
) -> Option<Answer> {
    let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67).into();
    socket.send_to(&message(number, mac, kind, chosen), &everyone).ok()?;
    let wanted = if kind == DISCOVER { OFFER } else { ACKNOWLEDGE };
    for _ in 0..4 {
        let mut reader = socket;
        let mut bytes = [0; 1500];
        let length = std::io::Read::read(&mut reader, &mut bytes).ok()?;
        let answer = bytes.get(..length).and_then(|bytes| parse(bytes, number, mac));
        if let Some(answer) = answer.filter(|answer| answer.kind == wanted) {
            return Some(answer);
        }
    }
    None
}

fn message(number: [u8; 4], mac: [u8; 6], kind: u8, chosen: Option<(Ipv4Addr, Ipv4Addr)>) -> Vec<u8> {
    // request, Ethernet, address length, hops; number; seconds; answer by broadcast
    let mut bytes = vec![1, 1, 6, 0];
    bytes.extend(number);
    bytes.extend([0, 0, 0x80, 0]);
    bytes.extend([0; 16]);
    bytes.extend(mac);
    bytes.resize(OPTIONS_AT.saturating_sub(COOKIE.len()), 0);
    bytes.extend(COOKIE);
    bytes.extend([53, 1, kind]);
    if let Some((address, server)) = chosen {
        bytes.extend([50, 4]);
        bytes.extend(address.octets());
        bytes.extend([54, 4]);
        bytes.extend(server.octets());
    }
    // subnet mask and router, please
    bytes.extend([55, 2, 1, 3, 255]);
    bytes.resize(300, 0);
    bytes
}

fn parse(bytes: &[u8], number: [u8; 4], mac: [u8; 6]) -> Option<Answer> {
    let is_ours = *bytes.first()? == 2
        && bytes.get(4..8)? == number
        && bytes.get(28..34)? == mac
        && bytes.get(OPTIONS_AT.checked_sub(4)?..OPTIONS_AT)? == COOKIE;
    let own: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
    let options = options(bytes.get(OPTIONS_AT..).filter(|_| is_ours)?)?;
    let value = |code: u8| options.iter().find(|(own, _)| *own == code).map(|(_, value)| *value);
    let address = |code| {
        let first: [u8; 4] = value(code)?.get(..4)?.try_into().ok()?;
        Some(Ipv4Addr::from(first))
    };
    let mask = u32::from(address(1)?);
    let prefix =
        u8::try_from(mask.leading_ones()).ok().filter(|_| mask.count_ones() == mask.leading_ones())?;
    Some(Answer {
        kind: *value(53)?.first()?,
        server: address(54)?,
        lease: Lease { address: Ipv4Addr::from(own), prefix, gateway: address(3) },
    })
}

fn options(mut rest: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    loop {
        match *rest {
            [] | [255, ..] => return Some(found),
            [0, ref more @ ..] => rest = more,
            [code, length, ref more @ ..] => {
                found.push((code, more.get(..usize::from(length))?));
                rest = more.get(usize::from(length)..)?;
            }
            [_] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn offer() -> Vec<u8> {
        let mut bytes = message([1, 2, 3, 4], MAC, DISCOVER, None);
        bytes[0] = 2;
        bytes[16..20].copy_from_slice(&[10, 0, 2, 15]);
        bytes.truncate(OPTIONS_AT);
        bytes.extend([53, 1, OFFER, 54, 4, 10, 0, 2, 2, 0, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 255]);
        bytes
    }

    #[test]
    fn an_offer_is_read() {
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        };
        let answer = Answer { kind: OFFER, server: Ipv4Addr::new(10, 0, 2, 2), lease };
        assert_eq!(parse(&offer(), [1, 2, 3, 4], MAC), Some(answer));
    }

    #[test]
    fn what_is_cut_or_anothers_is_no_answer() {
        let good = offer();
        assert_eq!(parse(&good, [1, 2, 3, 5], MAC), None);
        assert_eq!(parse(&good, [1, 2, 3, 4], [0; 6]), None);
        for length in 0..good.len() - 8 {
            assert_eq!(parse(&good[..length], [1, 2, 3, 4], MAC), None, "{length}");
        }
        let mut odd_mask = good;
        let at = OPTIONS_AT + 12;
        odd_mask[at..at + 4].copy_from_slice(&[255, 0, 255, 0]);
        assert_eq!(parse(&odd_mask, [1, 2, 3, 4], MAC), None);
    }
}
