//! One interface with an address. Whom it reaches is the host's choice, so nothing here is believed.

mod dhcp;
mod netlink;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::machine::Failure;
use crate::options::Network;

/// What came of bringing up the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Where everything else is reached.
    pub gateway: Option<Ipv4Addr>,
}

/// How long an interface may take to appear: drivers look for their devices beside us.
const APPEARS: Duration = Duration::from_secs(20);

/// Brings up loopback and the first other interface.
///
/// # Errors
/// [`Failure::Network`].
pub fn up(wanted: &Network) -> Result<Link, Failure> {
    let mut routes = netlink::Routes::open().map_err(|_| Failure::Network("no netlink socket"))?;
    let refused = |_| Failure::Network("the kernel refused to bring up the interface");
    routes.link_up(LOOPBACK).map_err(refused)?;
    if *wanted == Network::None {
        return Ok(Link::default());
    }
    let (name, index) = appear().ok_or(Failure::Network("no network interface appeared"))?;
    routes.link_up(index).map_err(refused)?;
    let (address, prefix, gateway) = match wanted {
        Network::None => return Ok(Link::default()),
        Network::Static { address, prefix, gateway } => (*address, *prefix, *gateway),
        Network::Dhcp => {
            let mac = hardware_address(&name).ok_or(Failure::Network("the interface has no address"))?;
            let lease =
                dhcp::lease(&name, mac).ok_or(Failure::Network("nobody offered an address (DHCP)"))?;
            (lease.address, lease.prefix, lease.gateway)
        }
    };
    routes.add_address(index, address, prefix).map_err(refused)?;
    if let Some(gateway) = gateway {
        // Where the gateway lies outside the network, as on Google's, it is on the link all the same.
        routes.add_route(index, gateway, 32, None).map_err(refused)?;
        routes.add_route(index, Ipv4Addr::UNSPECIFIED, 0, Some(gateway)).map_err(refused)?;
    }
    Ok(Link { gateway })
}

/// The kernel's first interface.
const LOOPBACK: u32 = 1;

/// The first interface that is neither loopback nor the fallback device of a tunnel: its name and number.
fn appear() -> Option<(String, u32)> {
    let deadline = Instant::now().checked_add(APPEARS)?;
    loop {
        let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
            .ok()?
            .flatten()
            .filter(|entry| entry.path().join("device").exists())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        let numbered = names.into_iter().find_map(|name| {
            let text =
                std::fs::read_to_string(Path::new("/sys/class/net").join(&name).join("ifindex")).ok()?;
            Some((name, text.trim().parse().ok()?))
        });
        if numbered.is_some() || Instant::now() >= deadline {
            return numbered;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hardware_address(name: &str) -> Option<[u8; 6]> {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("address")).ok()?;
    let bytes: Vec<u8> =
        text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}
