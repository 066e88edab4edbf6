//! Addresses in the configuration: a scheme, a host, perhaps a port, a plain path, and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use crate::deployment::{Endpoint, TlsRoots};

/// An address taken apart.
pub struct Address {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// The path, without a slash at its end.
    pub path: String,
}

/// Takes an address apart: scheme, host, perhaps a port, and a plain path.
///
/// # Errors
/// What would be right.
pub fn parse_url(url: &str, allow_plain_http: bool) -> Result<Address, &'static str> {
    let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("'https://' or 'http://' first"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = path.trim_end_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !path.bytes().all(plain) || path.contains("..") || path.contains("//") {
        return Err("a plain path, without query, escapes or '..'");
    }
    let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
    if !tls && !allow_plain_http && !is_loopback(&host) {
        return Err("'https://', or a loopback address, or 'allow_plain_http = true'");
    }
    let host: Arc<str> = host.into();
    let endpoint = if tls {
        Endpoint::Https { host, port, roots: TlsRoots::Web }
    } else {
        Endpoint::Http { host, port }
    };
    Ok(Address { endpoint, path: path.to_owned() })
}

/// A name, an IPv4 address or a bracketed IPv6 address (returned without brackets), perhaps with a port.
fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), &'static str> {
    let expected = "a host name or address, perhaps with a port, without user or password";
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(expected)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| expected)?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")).ok_or(expected)?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
    if !is_name && !authority.starts_with('[') {
        return Err(expected);
    }
    let given = if port.is_empty() { Ok(default) } else { port.parse() };
    let port = given.ok().filter(|port| *port != 0).ok_or("a port from 1 to 65535")?;
    Ok((host.to_ascii_lowercase(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
