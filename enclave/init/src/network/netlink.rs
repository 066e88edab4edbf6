//! Three requests of rtnetlink (`rtnetlink(7)`): set a link up, add an address, add a route.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;
/// Request and acknowledge; with the second, create what must not exist.
const ASK: u16 = 1 | 4;
const CREATE: u16 = ASK | 0x200 | 0x400;
const IPV4: u8 = 2;
/// `IFF_UP`
const UP: u32 = 1;
/// The kernel's main table, a route set at boot, of ordinary kind.
const MAIN_TABLE: u8 = 254;
const BY_BOOT: u8 = 3;
const UNICAST: u8 = 1;
const EVERYWHERE: u8 = 0;
const ON_LINK: u8 = 253;

/// The kernel's tables of links, addresses and routes.
pub(super) struct Routes(OwnedFd);

impl Routes {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    pub(super) fn link_up(&mut self, index: u32) -> io::Result<()> {
        // struct ifinfomsg: family, padding, type, index, flags, mask
        let body = [&[0_u8; 4][..], &index.to_ne_bytes(), &UP.to_ne_bytes(), &UP.to_ne_bytes()].concat();
        self.ask(NEW_LINK, ASK, &body)
    }

    pub(super) fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        // struct ifaddrmsg: family, prefix, flags, scope, index; then IFA_ADDRESS and IFA_LOCAL
        let head = [IPV4, prefix, 0, EVERYWHERE];
        let own = address.octets();
        let body = [&head[..], &index.to_ne_bytes(), &attribute(1, own), &attribute(2, own)].concat();
        self.ask(NEW_ADDRESS, CREATE, &body)
    }

    /// To `network` over the interface: directly, or through a gateway.
    pub(super) fn add_route(
        &mut self,
        index: u32,
        network: Ipv4Addr,
        prefix: u8,
        through: Option<Ipv4Addr>,
    ) -> io::Result<()> {
        // struct rtmsg; then RTA_DST, RTA_GATEWAY and RTA_OIF
        let scope = if through.is_some() { EVERYWHERE } else { ON_LINK };
        let mut body = vec![IPV4, prefix, 0, 0, MAIN_TABLE, BY_BOOT, scope, UNICAST, 0, 0, 0, 0];
        if prefix > 0 {
            body.extend(attribute(1, network.octets()));
        }
        if let Some(gateway) = through {
            body.extend(attribute(5, gateway.octets()));
        }
        body.extend(attribute(4, index.to_ne_bytes()));
        self.ask(NEW_ROUTE, CREATE, &body)
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len().saturating_add(16)).unwrap_or(u32::MAX);
        let head = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]].concat();
        send(&self.0, &[head.as_slice(), body].concat(), SendFlags::empty())?;
        let mut answer = [0; 512];
        let (length, _) = recv(&self.0, &mut answer, RecvFlags::empty())?;
        outcome(answer.get(..length).unwrap_or_default())
    }
}

/// Header of an attribute of four bytes, and the bytes.
fn attribute(kind: u16, value: [u8; 4]) -> [u8; 8] {
    let ([l0, l1], [k0, k1], [a, b, c, d]) = (8_u16.to_ne_bytes(), kind.to_ne_bytes(), value);
    [l0, l1, k0, k1, a, b, c, d]
}

/// `NLMSG_ERROR` with number zero is an acknowledgement.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let number = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(number)) => {
            let error = io::Error::from_raw_os_error(number.saturating_neg());
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let answer = |number: i32| {
            let mut bytes = vec![36, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend(number.to_ne_bytes());
            outcome(&bytes)
        };
        assert!(answer(0).is_ok());
        assert!(answer(-17).is_ok(), "it exists already");
        assert_eq!(answer(-1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(outcome(&[]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
