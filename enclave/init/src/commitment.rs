//! What says which configuration this machine must run: a field of its launch, its command line, or, where a platform
//! offers neither, a register that remembers which one it was.

use std::path::Path;

use attestation::attester::configfs_tsm::{self, ConfigfsTsm};
use attestation::attester::socket::SocketAttester;
use attestation::attester::tpm::{DEFAULT_DEVICE, DeviceFile, TpmDevice};
use attestation::attester::{Attester, AttesterError};
use attestation::digest::ReportData;
use attestation::evidence::TeeType;
use attestation::inspect;
use ring::digest::{SHA256, SHA384, digest};

use crate::machine::Failure;
use crate::options::{CommitmentKind, Options};

/// Decides about a configuration that somebody handed over.
pub trait Commitment {
    /// Whether it is the one. Where that is not known beforehand, it is recorded, and so becomes the one.
    ///
    /// # Errors
    /// [`Failure`] where it cannot be recorded.
    fn accept(&mut self, configuration: &[u8]) -> Result<bool, Failure>;

    /// SHA-256 of the configuration, as hex; empty while any would do.
    fn digest(&self) -> String;

    /// Where verifiers find it.
    fn describe(&self) -> &'static str;
}

/// The commitment that the command line names.
///
/// # Errors
/// [`Failure::NoTee`], [`Failure::NoCommitment`].
pub fn of(options: &Options) -> Result<Box<dyn Commitment>, Failure> {
    Ok(match &options.commitment {
        CommitmentKind::CommandLine(hash) => {
            Box::new(Known { hash: *hash, place: "as the measured command line says" })
        }
        CommitmentKind::Launch => {
            let attester: Box<dyn Attester> = match options.processor {
                Some(address) => Box::new(SocketAttester::over_tcp(address, TeeType::Snp)),
                None => Box::new(ConfigfsTsm::detect(configfs_tsm::DEFAULT_ROOT).map_err(Failure::NoTee)?),
            };
            Box::new(of_launch(attester.as_ref())?)
        }
        CommitmentKind::Tpm => {
            let device = DeviceFile::open(Path::new(DEFAULT_DEVICE)).map_err(Failure::NoTee)?;
            Box::new(Recorded { device: Box::new(device), hash: None })
        }
    })
}

/// Known before anything is fetched.
struct Known {
    hash: [u8; 32],
    place: &'static str,
}

impl Commitment for Known {
    fn accept(&mut self, configuration: &[u8]) -> Result<bool, Failure> {
        Ok(digest(&SHA256, configuration).as_ref() == self.hash)
    }

    fn digest(&self) -> String {
        hex(&self.hash)
    }

    fn describe(&self) -> &'static str {
        self.place
    }
}

/// `HOST_DATA` or `MRCONFIGID` of a report that the hardware makes now.
fn of_launch(attester: &dyn Attester) -> Result<Known, Failure> {
    let quote = attester.quote(&ReportData::new([0; 64])).map_err(Failure::NoTee)?;
    let malformed = |_| Failure::NoTee(AttesterError::Malformed("the report cannot be read"));
    let (field, place) = match attester.tee() {
        TeeType::Snp => {
            let report = inspect::snp_report(&quote.bytes).map_err(malformed)?;
            (report.host_data.to_vec(), "as HOST_DATA of the launch says")
        }
        TeeType::Tdx => {
            let quote = inspect::tdx_quote(&quote.bytes).map_err(malformed)?;
            (quote.report.mr_config_id.as_bytes().to_vec(), "as MRCONFIGID of the launch says")
        }
        TeeType::AzureSnp | TeeType::AzureTdx => {
            return Err(Failure::NoCommitment("this platform's launch has no such field; take tpm"));
        }
    };
    let (hash, rest) = field.split_at_checked(32).unwrap_or_default();
    let hash: [u8; 32] = hash.try_into().unwrap_or_default();
    if hash == [0; 32] || rest.iter().any(|byte| *byte != 0) {
        return Err(Failure::NoCommitment(
            "the launch commits to no configuration: give its SHA-256 as host-data (SNP) or mrconfigid (TDX)",
        ));
    }
    Ok(Known { hash, place })
}

/// Recorded in register 15 of the TPM, which the quote shows and nothing can take back.
struct Recorded {
    device: Box<dyn TpmDevice>,
    hash: Option<[u8; 32]>,
}

impl Commitment for Recorded {
    fn accept(&mut self, configuration: &[u8]) -> Result<bool, Failure> {
        let hash: [u8; 32] = digest(&SHA256, configuration).as_ref().try_into().unwrap_or_default();
        // A TPM has either bank or both, and refuses to extend one that it does not have.
        let banks = [(0x000b, digest(&SHA256, &hash)), (0x000c, digest(&SHA384, &hash))];
        let mut recorded = false;
        for (bank, event) in banks {
            let response = self
                .device
                .transact(&extend(bank, event.as_ref()))
                .map_err(|error| Failure::Io("measuring the configuration", error.kind()))?;
            recorded |= response.get(6..10) == Some(&[0; 4]);
        }
        if !recorded {
            return Err(Failure::NoCommitment("the TPM did not take the configuration's measurement"));
        }
        self.hash = Some(hash);
        Ok(true)
    }

    fn digest(&self) -> String {
        self.hash.map(|hash| hex(&hash)).unwrap_or_default()
    }

    fn describe(&self) -> &'static str {
        "as register 15 of the TPM says"
    }
}

/// `TPM2_PCR_Extend` of register 15 in one bank, with an empty password.
fn extend(bank: u16, event: &[u8]) -> Vec<u8> {
    let mut body = 15_u32.to_be_bytes().to_vec();
    body.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    body.extend([0, 0, 0, 1]);
    body.extend(bank.to_be_bytes());
    body.extend(event);
    let length = u32::try_from(body.len().saturating_add(10)).unwrap_or(u32::MAX);
    [&[0x80, 0x02][..], &length.to_be_bytes(), &0x182_u32.to_be_bytes(), &body].concat()
}

fn hex(bytes: &[u8]) -> String {
    attestation::digest::to_hex(bytes)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use attestation::attester::Quote;

    use super::*;

    struct Processor(Vec<u8>);

    impl Attester for Processor {
        fn tee(&self) -> TeeType {
            TeeType::Snp
        }

        fn quote(&self, _: &ReportData) -> Result<Quote, AttesterError> {
            Ok(Quote { bytes: self.0.clone(), auxiliary: Vec::new() })
        }
    }

    fn report(host_data: [u8; 32]) -> Processor {
        let mut bytes = vec![0; 1184];
        bytes[0] = 2;
        bytes[0x34] = 1;
        bytes[0xc0..0xe0].copy_from_slice(&host_data);
        Processor(bytes)
    }

    #[test]
    fn host_data_decides() {
        let hash: [u8; 32] = digest(&SHA256, b"the one").as_ref().try_into().unwrap();
        let mut known = of_launch(&report(hash)).unwrap();
        assert!(known.accept(b"the one").unwrap());
        assert!(!known.accept(b"the one ").unwrap());
        assert_eq!(known.digest(), hex(&hash));
    }

    #[test]
    fn a_launch_without_a_commitment_is_refused() {
        assert!(matches!(of_launch(&report([0; 32])), Err(Failure::NoCommitment(_))));
        assert!(matches!(of_launch(&Processor(vec![1; 40])), Err(Failure::NoTee(_))));
    }

    /// A TPM with the SHA-256 bank only, or none at all.
    struct Tpm(bool, Arc<Mutex<Vec<Vec<u8>>>>);

    impl TpmDevice for Tpm {
        fn transact(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
            self.1.lock().unwrap().push(command.to_vec());
            let has = self.0 && command[31..33] == [0, 0x0b];
            Ok([&[0x80, 0x02, 0, 0, 0, 10][..], if has { &[0; 4] } else { &[0, 0, 2, 0xc3] }].concat())
        }
    }

    #[test]
    fn a_tpm_remembers_the_hash() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut recorded = Recorded { device: Box::new(Tpm(true, Arc::clone(&seen))), hash: None };
        assert!(recorded.accept(b"whatever").unwrap());
        let hash = digest(&SHA256, b"whatever");
        let command = seen.lock().unwrap()[0].clone();
        assert_eq!(usize::from(command[5]), command.len());
        assert_eq!(command[10..14], [0, 0, 0, 15]);
        assert_eq!(command[33..], *digest(&SHA256, hash.as_ref()).as_ref());
        let mut without = Recorded { device: Box::new(Tpm(false, seen)), hash: None };
        assert!(matches!(without.accept(b"whatever"), Err(Failure::NoCommitment(_))));
    }
}
