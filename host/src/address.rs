//! Addresses as operators write them: `tcp:IP:PORT`, `unix:/path`, `vsock:CID:PORT`, `hvsock:/path:PORT`.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

/// Where one end of the boundary between host and enclave listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, for machines without a VM, such as a developer's.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix(PathBuf),
    /// Virtual machine socket (`AF_VSOCK`).
    Vsock {
        /// Context: 2 is the host, 3 and up are guests, [`Address::ANY_CID`] listens on all.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// The guest's vsock behind a Unix socket of its machine monitor: vhost-device-vsock, Cloud Hypervisor, Firecracker
    /// ("hybrid vsock"). It needs nothing of the host's kernel.
    Hvsock {
        /// The monitor's socket.
        path: PathBuf,
        /// Port in the guest, or, to listen on, the port that the guest dials.
        port: u32,
    },
}

impl Address {
    /// `VMADDR_CID_ANY`, written `any`.
    pub const ANY_CID: u32 = u32::MAX;

    /// The file of a Unix socket that listens here.
    pub fn socket_file(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(path) => Some(path.clone()),
            Self::Hvsock { path, port } => Some(Self::hvsock_listener(path, *port)),
            Self::Tcp(_) | Self::Vsock { .. } => None,
        }
    }

    /// Where a monitor at `path` brings what the guest sends to `port` of its host.
    pub fn hvsock_listener(path: &Path, port: u32) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("_{port}"));
        name.into()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once(':').ok_or(AddressError::Scheme)?;
        match scheme {
            "tcp" => rest.parse().map(Self::Tcp).map_err(|_| AddressError::Tcp),
            "unix" if rest.is_empty() || rest.len() > MAX_UNIX_PATH || rest.contains('\0') => {
                Err(AddressError::Unix)
            }
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "vsock" => {
                let (cid, port) = rest.split_once(':').ok_or(AddressError::Vsock)?;
                let cid = if cid == "any" { Self::ANY_CID } else { number(cid)? };
                Ok(Self::Vsock { cid, port: number(port)? })
            }
            "hvsock" => {
                let (path, port) = rest.rsplit_once(':').ok_or(AddressError::Hvsock)?;
                let port = number(port).map_err(|_| AddressError::Hvsock)?;
                let listener = Self::hvsock_listener(Path::new(path), port);
                if path.is_empty() || listener.as_os_str().len() > MAX_UNIX_PATH || path.contains('\0') {
                    return Err(AddressError::Hvsock);
                }
                Ok(Self::Hvsock { path: path.into(), port })
            }
            _ => Err(AddressError::Scheme),
        }
    }
}

/// Decimal digits only: `u32::from_str` would also take a plus sign.
fn number(text: &str) -> Result<u32, AddressError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| AddressError::Vsock)
    } else {
        Err(AddressError::Vsock)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid: Self::ANY_CID, port } => write!(f, "vsock:any:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Hvsock { path, port } => write!(f, "hvsock:{}:{port}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// None of the four.
    Scheme,
    /// Not an IP address with a port.
    Tcp,
    /// Empty path, or longer than a Unix socket's may be.
    Unix,
    /// Not a context and a port.
    Vsock,
    /// Not a path and a port, or a path longer than a Unix socket's may be.
    Hvsock,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => {
                "an address starts with tcp:, unix:, vsock: or hvsock:, as in \"unix:/run/postern/enclave.sock\""
            }
            Self::Tcp => "a tcp address is an IP address and a port, as in \"tcp:127.0.0.1:7001\"",
            Self::Unix => {
                "a unix address is a path of 1 to 107 bytes, as in \"unix:/run/postern/enclave.sock\""
            }
            Self::Vsock => {
                "a vsock address is a context and a port, as in \"vsock:3:7001\" or \"vsock:any:7002\""
            }
            Self::Hvsock => {
                "an hvsock address is a path and a port, together at most 106 bytes, as in \"hvsock:/run/vm/vsock:8443\""
            }
        })
    }
}

impl std::error::Error for AddressError {}

/// `sun_path` less its final zero byte (unix(7)).
const MAX_UNIX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_written() {
        for text in ["tcp:127.0.0.1:80", "tcp:[::1]:443", "unix:/a/b.sock", "vsock:3:5000", "vsock:any:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn vsock_addresses() {
        assert_eq!("vsock:16:4294967295".parse(), Ok(Address::Vsock { cid: 16, port: u32::MAX }));
        assert_eq!("vsock:any:7".parse(), Ok(Address::Vsock { cid: u32::MAX, port: 7 }));
        for bad in
            ["vsock:", "vsock:3", "vsock:3:", "vsock::3", "vsock:a:3", "vsock:3:4294967296", "vsock:-1:3"]
        {
            assert_eq!(bad.parse::<Address>(), Err(AddressError::Vsock), "{bad}");
        }
        assert_eq!("vsock:3:+5".parse::<Address>(), Err(AddressError::Vsock));
    }

    #[test]
    fn hvsock_addresses() {
        let address: Address = "hvsock:/run/a:b:8443".parse().unwrap();
        assert_eq!(address, Address::Hvsock { path: "/run/a:b".into(), port: 8443 });
        assert_eq!(address.to_string(), "hvsock:/run/a:b:8443");
        assert_eq!(Address::hvsock_listener(Path::new("/run/v"), 9000), Path::new("/run/v_9000"));
        for bad in ["hvsock:", "hvsock:/run/v", "hvsock::1", "hvsock:/run/v:+1", "hvsock:/run/v:4294967296"] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError::Hvsock), "{bad}");
        }
        let long = format!("hvsock:/{}:8443", "a".repeat(102));
        assert_eq!(long.parse::<Address>(), Err(AddressError::Hvsock));
    }

    #[test]
    fn other_addresses_are_refused_with_an_example() {
        assert_eq!("127.0.0.1:80".parse::<Address>(), Err(AddressError::Scheme));
        assert_eq!("http:".parse::<Address>(), Err(AddressError::Scheme));
        assert_eq!("tcp:localhost:80".parse::<Address>(), Err(AddressError::Tcp));
        assert_eq!("unix:".parse::<Address>(), Err(AddressError::Unix));
        let long = format!("unix:/{}", "a".repeat(107));
        assert_eq!(long.parse::<Address>(), Err(AddressError::Unix));
        assert!(AddressError::Tcp.to_string().contains("tcp:127.0.0.1:7001"));
    }
}
