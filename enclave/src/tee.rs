//! Which source of evidence the configuration names, and finding it: the kernel's interface, the processor's own
//! device, an Azure guest's virtual TPM, or a simulated processor behind a socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestation::attester::azure_vtpm::AzureVtpm;
use attestation::attester::configfs_tsm::{self, ConfigfsTsm};
use attestation::attester::socket::SocketAttester;
use attestation::attester::tpm::{self, DeviceFile};
use attestation::attester::{Attester, AttesterError};
use attestation::evidence::TeeType;

use crate::azure_imds;
use crate::host_link::HostLink;
use crate::sealing_key::Chip;
use crate::sev_guest::SevGuest;

/// A source of evidence by name; looked for only once keys are to be made, so that a file can be checked on a
/// machine without a TEE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first of the three below that is there.
    Auto,
    /// The kernel's report interface.
    ConfigfsTsm,
    /// The security processor's device.
    SevGuest,
    /// The virtual TPM of an Azure guest.
    AzureVtpm,
    /// A security processor behind a Unix socket.
    Socket(PathBuf),
    /// A security processor behind a TCP address.
    Processor(SocketAddr),
}

/// Why there is no source of evidence: what was looked for, and what kept each from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTee(Vec<(&'static str, AttesterError)>);

impl NoTee {
    /// What each source said.
    pub fn reasons(&self) -> &[(&'static str, AttesterError)] {
        &self.0
    }
}

impl std::fmt::Display for NoTee {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, error)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(out, "{separator}{name}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoTee {}

type Found = Result<Arc<dyn Attester>, AttesterError>;

impl Source {
    /// The source with this name.
    pub fn named(text: &str) -> Option<Self> {
        match (text, text.split_once(':')) {
            ("auto", _) => Some(Self::Auto),
            ("configfs-tsm", _) => Some(Self::ConfigfsTsm),
            ("sev-guest", _) => Some(Self::SevGuest),
            ("azure-vtpm", _) => Some(Self::AzureVtpm),
            (_, Some(("socket", place))) if place.starts_with("tcp:") => {
                place.strip_prefix("tcp:").and_then(|address| address.parse().ok()).map(Self::Processor)
            }
            (_, Some(("socket", path))) if !path.is_empty() => Some(Self::Socket(PathBuf::from(path))),
            _ => None,
        }
    }

    /// Who derives keys for what runs here, beside giving evidence.
    pub fn chip(&self) -> Chip {
        match self {
            Self::Auto | Self::ConfigfsTsm | Self::SevGuest | Self::AzureVtpm => Chip::Device,
            Self::Socket(path) => Chip::Simulated(SocketAttester::new(path, TeeType::Snp)),
            Self::Processor(address) => Chip::Simulated(SocketAttester::over_tcp(*address, TeeType::Snp)),
        }
    }

    /// Opens it. `host` is for what the host has to make: the quote of an Azure TD.
    ///
    /// # Errors
    /// [`NoTee`].
    pub fn open(self, host: Option<HostLink>) -> Result<Arc<dyn Attester>, NoTee> {
        let azure = move || azure(Path::new(tpm::DEFAULT_DEVICE), host);
        match self {
            Self::Auto => {
                let sources: [(_, Box<dyn FnOnce() -> Found>); 3] = [
                    ("configfs-tsm", Box::new(configfs)),
                    ("sev-guest", Box::new(sev_guest)),
                    ("azure-vtpm", Box::new(azure)),
                ];
                first(sources)
            }
            Self::ConfigfsTsm => first([("configfs-tsm", configfs)]),
            Self::SevGuest => first([("sev-guest", sev_guest)]),
            Self::AzureVtpm => first([("azure-vtpm", azure)]),
            Self::Socket(path) => Ok(Arc::new(SocketAttester::new(path, TeeType::Snp))),
            Self::Processor(address) => Ok(Arc::new(SocketAttester::over_tcp(address, TeeType::Snp))),
        }
    }
}

/// The first that is there.
fn first<F: FnOnce() -> Found, const N: usize>(
    sources: [(&'static str, F); N],
) -> Result<Arc<dyn Attester>, NoTee> {
    let mut reasons = Vec::new();
    for (name, open) in sources {
        match open() {
            Ok(attester) => return Ok(attester),
            Err(error) => reasons.push((name, error)),
        }
    }
    Err(NoTee(reasons))
}

fn configfs() -> Found {
    Ok(Arc::new(ConfigfsTsm::detect(configfs_tsm::DEFAULT_ROOT)?))
}

fn sev_guest() -> Found {
    Ok(Arc::new(SevGuest::detect()?))
}

fn azure(device: &Path, host: Option<HostLink>) -> Found {
    let device = DeviceFile::open(device)?;
    Ok(Arc::new(AzureVtpm::detect(Box::new(device), azure_imds::quoter(host))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_six_forms() {
        assert_eq!(Source::named("auto"), Some(Source::Auto));
        assert_eq!(Source::named("configfs-tsm"), Some(Source::ConfigfsTsm));
        assert_eq!(Source::named("sev-guest"), Some(Source::SevGuest));
        assert_eq!(Source::named("azure-vtpm"), Some(Source::AzureVtpm));
        assert_eq!(Source::named("socket:/x"), Some(Source::Socket(PathBuf::from("/x"))));
        let processor = "10.0.2.2:9002".parse().unwrap();
        assert_eq!(Source::named("socket:tcp:10.0.2.2:9002"), Some(Source::Processor(processor)));
        for bad in ["socket:tcp:host:1", "", "socket:", "configfs-tsm:", "auto:", "sev", "/x"] {
            assert_eq!(Source::named(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_that_is_there_is_taken_and_every_reason_is_named() {
        let missing = |what| move || Err(AttesterError::Unavailable(what));
        let error = first([("one", missing("no driver")), ("two", missing("no device"))]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "one: no report interface: no driver; two: no report interface: no device"
        );
        let there = || -> Found { Ok(Arc::new(SocketAttester::new("/x", TeeType::Snp))) };
        let sources: [(_, Box<dyn FnOnce() -> Found>); 2] =
            [("one", Box::new(missing("no driver"))), ("two", Box::new(there))];
        assert_eq!(first(sources).ok().unwrap().tee(), TeeType::Snp);
    }

    #[test]
    fn on_a_machine_without_any_all_three_are_named() {
        let absent = [configfs_tsm::DEFAULT_ROOT, crate::sev_guest::DEVICE, tpm::DEFAULT_DEVICE];
        if absent.iter().any(|path| Path::new(path).exists()) {
            return;
        }
        let error = Source::Auto.open(None).err().unwrap();
        let names: Vec<_> = error.reasons().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["configfs-tsm", "sev-guest", "azure-vtpm"]);
    }
}
