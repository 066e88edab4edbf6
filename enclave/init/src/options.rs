//! Words `postern.KEY=VALUE` of the kernel's command line: few, each at most once, none unknown.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// What the measured command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `postern.network`: how the interface gets its address.
    pub network: Network,
    /// `postern.source`: where the configuration may come from, in order.
    pub sources: Vec<Source>,
    /// `postern.commitment`: what says which configuration it must be.
    pub commitment: CommitmentKind,
    /// `postern.processor`: a security processor behind a TCP address, in place of the hardware's interface. Its evidence is
    /// judged by verifiers like any other; an image with this word has a measurement of its own.
    pub processor: Option<SocketAddr>,
}

/// How the interface gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// `dhcp`: from the host's network.
    Dhcp,
    /// `ADDRESS/PREFIX[,GATEWAY]`.
    Static {
        /// Own address.
        address: Ipv4Addr,
        /// Length of the network's prefix.
        prefix: u8,
        /// Where everything else is reached.
        gateway: Option<Ipv4Addr>,
    },
    /// `none`: only vsock.
    None,
}

/// Where the configuration may come from. All of them are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `vsock:PORT` of the host.
    Vsock(u32),
    /// `gateway:PORT`: TCP to the network's gateway.
    Gateway(u16),
    /// `tcp:IP:PORT`.
    Tcp(SocketAddr),
    /// `aws`: user data of the instance metadata service, version 2.
    Aws,
    /// `azure`: user data of the instance metadata service.
    Azure,
    /// `gcp`: the instance's attribute `postern-config`.
    Gcp,
}

/// What says which configuration it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitmentKind {
    /// `launch`: `HOST_DATA` of SEV-SNP or `MRCONFIGID` of TDX.
    Launch,
    /// `sha256:HEX`: this command line.
    CommandLine([u8; 32]),
    /// `tpm`: nothing says it; whatever comes is measured into register 15 before it is used.
    Tpm,
}

/// What is wrong with the command line. Names keys, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// Not one of the four.
    Unknown,
    /// Twice the same.
    Twice(&'static str),
    /// Not there, and there is no default.
    Missing(&'static str),
    /// Not one of its forms.
    Value(&'static str),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("a word postern.* that this image does not know"),
            Self::Twice(key) => write!(out, "{key} twice"),
            Self::Missing(key) => write!(out, "{key} is missing"),
            Self::Value(key) => write!(out, "{key} has none of its forms"),
        }
    }
}

const NETWORK: &str = "postern.network";
const SOURCE: &str = "postern.source";
const COMMITMENT: &str = "postern.commitment";
const PROCESSOR: &str = "postern.processor";
const KEYS: [&str; 4] = [NETWORK, SOURCE, COMMITMENT, PROCESSOR];

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn read(line: &str) -> Result<Self, OptionsError> {
        let mut found: Vec<(&'static str, &str)> = Vec::new();
        for word in line.split_ascii_whitespace().filter(|word| word.starts_with("postern.")) {
            let (key, value) = word.split_once('=').ok_or(OptionsError::Unknown)?;
            let key = KEYS.into_iter().find(|known| *known == key).ok_or(OptionsError::Unknown)?;
            if found.iter().any(|(other, _)| *other == key) {
                return Err(OptionsError::Twice(key));
            }
            found.push((key, value));
        }
        let value = |key: &'static str| found.iter().find(|(own, _)| *own == key).map(|(_, value)| *value);
        let needed = |key| value(key).ok_or(OptionsError::Missing(key));
        let sources = needed(SOURCE)?.split(',').map(source).collect::<Option<Vec<_>>>();
        Ok(Self {
            network: network(needed(NETWORK)?).ok_or(OptionsError::Value(NETWORK))?,
            sources: sources.ok_or(OptionsError::Value(SOURCE))?,
            commitment: commitment(needed(COMMITMENT)?).ok_or(OptionsError::Value(COMMITMENT))?,
            processor: value(PROCESSOR)
                .map(|text| {
                    let address = text.strip_prefix("tcp:").and_then(|address| address.parse().ok());
                    address.ok_or(OptionsError::Value(PROCESSOR))
                })
                .transpose()?,
        })
    }
}

fn network(text: &str) -> Option<Network> {
    match text {
        "dhcp" => Some(Network::Dhcp),
        "none" => Some(Network::None),
        _ => {
            let (own, gateway) = match text.split_once(',') {
                Some((own, gateway)) => (own, Some(gateway.parse().ok()?)),
                None => (text, None),
            };
            let (address, prefix) = own.split_once('/')?;
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            Some(Network::Static { address: address.parse().ok()?, prefix, gateway })
        }
    }
}

fn source(text: &str) -> Option<Source> {
    Some(match text.split_once(':') {
        None => match text {
            "aws" => Source::Aws,
            "azure" => Source::Azure,
            "gcp" => Source::Gcp,
            _ => return None,
        },
        Some(("vsock", port)) => Source::Vsock(port.parse().ok()?),
        Some(("gateway", port)) => Source::Gateway(port.parse().ok()?),
        Some(("tcp", address)) => Source::Tcp(address.parse().ok()?),
        Some(_) => return None,
    })
}

fn commitment(text: &str) -> Option<CommitmentKind> {
    match (text, text.strip_prefix("sha256:")) {
        ("launch", _) => Some(CommitmentKind::Launch),
        ("tpm", _) => Some(CommitmentKind::Tpm),
        (_, Some(hex)) => {
            let digest = attestation::digest::Sha256::from_hex(hex).ok()?;
            Some(CommitmentKind::CommandLine(*digest.as_bytes()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_line_is_read() {
        let hash = "ab".repeat(32);
        let line = format!(
            "console=null postern.network=10.0.2.15/24,10.0.2.2 postern.source=vsock:9001,gateway:9001,gcp \
             postern.commitment=sha256:{hash} panic=-1"
        );
        let options = Options::read(&line).unwrap();
        assert_eq!(
            options.network,
            Network::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2))
            }
        );
        assert_eq!(options.sources, [Source::Vsock(9001), Source::Gateway(9001), Source::Gcp]);
        assert_eq!(options.commitment, CommitmentKind::CommandLine([0xab; 32]));
        assert_eq!(options.processor, None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let good = "postern.network=dhcp postern.source=aws postern.commitment=launch";
        assert!(Options::read(good).is_ok());
        let refused = |more: &str| Options::read(&format!("{good} {more}")).unwrap_err();
        assert_eq!(refused("postern.debug=1"), OptionsError::Unknown);
        assert_eq!(refused("postern.network"), OptionsError::Unknown);
        assert_eq!(refused("postern.network=none"), OptionsError::Twice("postern.network"));
        assert_eq!(refused("postern.processor=10.0.0.1:1"), OptionsError::Value("postern.processor"));
        assert_eq!(Options::read(""), Err(OptionsError::Missing("postern.source")));
        let with = |from: &str, to: &str| Options::read(&good.replace(from, to)).unwrap_err();
        for bad in ["network=", "network=10.0.0.1", "network=10.0.0.1/33", "network=10.0.0.1/8,x"] {
            assert_eq!(with("network=dhcp", bad), OptionsError::Value("postern.network"), "{bad}");
        }
        for bad in ["source=", "source=aws,", "source=vsock", "source=gateway:70000", "source=tcp:a:1"] {
            assert_eq!(with("source=aws", bad), OptionsError::Value("postern.source"), "{bad}");
        }
        for bad in ["commitment=", "commitment=sha256:00", "commitment=none"] {
            assert_eq!(with("commitment=launch", bad), OptionsError::Value("postern.commitment"), "{bad}");
        }
    }
}
