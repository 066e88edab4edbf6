//! Google's launch endorsement of the firmware of its confidential machines: `VMLaunchEndorsement`, a signature over a
//! serialized `VMGoldenMeasurement` (github.com/google/gce-tcb-verifier, `proto/endorsement.proto`), RSASSA-PSS with
//! SHA-256 throughout.
//!
//! It says which launch measurements Google's firmware has. It says nothing about what that firmware starts.

use crate::digest::{Measurement, Sha384, UnixTime};
use crate::protobuf::{Message, ProtobufError, Value, once};
use crate::rejection::{Code, Rejection};
use crate::signature::Algorithm;
use crate::work_limit::WorkLimit;
use crate::x509::{Certificate, PublicKey, Window};
use std::collections::BTreeMap;

/// Longest endorsement, in bytes.
pub const MAX_ENDORSEMENT_BYTES: usize = 64 * 1024;

/// Most measurements of one kind of TEE.
const MAX_MEASUREMENTS: usize = 1024;

/// 2024-08-02: later endorsements name what the firmware was built from (gce-tcb-verifier, `verify/verify.go`).
const PROVENANCE_SINCE: UnixTime = UnixTime::from_seconds(1_722_556_800);

/// What Google says of its firmware on SEV-SNP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpFirmware {
    /// Google's security version of this firmware. Not the report's `GUEST_SVN`: Google sets no ID block.
    pub svn: u32,
    /// `MEASUREMENT` by number of virtual processors. Never empty.
    pub measurements: BTreeMap<u32, Measurement>,
    /// The guest policy Google launches it with.
    pub policy: u64,
}

/// One `MRTD` and the machine that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TdxFirmwareMeasurement {
    /// Memory in GiB; 0 is not stated.
    pub ram_gib: u32,
    /// Whether the firmware accepts all memory itself.
    pub early_accept: bool,
    /// `MRTD`.
    pub mr_td: Measurement,
}

/// What Google says of its firmware on Intel TDX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxFirmware {
    /// Google's security version of this firmware.
    pub svn: u32,
    /// Never empty.
    pub measurements: Vec<TdxFirmwareMeasurement>,
}

/// An endorsement whose signature and certificate held under a root that the caller named. Made only by
/// [`FirmwareEndorsement::authenticate`]; its dates are judged at every appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareEndorsement {
    digest: Sha384,
    issued_at: UnixTime,
    valid: Window,
    snp: Option<SnpFirmware>,
    tdx: Option<TdxFirmware>,
}

impl FirmwareEndorsement {
    /// Reads a `VMLaunchEndorsement` and verifies it up to `root`, a certificate in DER form. Google's is not part of
    /// this crate: whoever names it vouches for it. The signing certificate has to be issued by that root itself;
    /// certificates that the endorsement brings along are not used.
    ///
    /// # Errors
    /// `GCP_ENDORSEMENT` for bytes that are no endorsement, `GCP_CHAIN` for a root or certificate that does not parse
    /// or verify, `GCP_SIGNATURE` when the certificate's key did not sign it.
    pub fn authenticate(bytes: &[u8], root: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_ENDORSEMENT_BYTES {
            let found = format!("{} bytes", bytes.len());
            return Err(Rejection::new(Code::GcpEndorsement, "gcp.endorsement", "at most 64 KiB", found));
        }
        let envelope = Envelope::parse(bytes).map_err(malformed)?;
        let golden = Golden::parse(envelope.golden).map_err(malformed)?;
        let mut limit = WorkLimit::new();
        let root = certificate(root, "gcp.root", &mut limit)?;
        if !root.authority || !root.self_issued() || !root.issued_by(&root, &mut limit)? {
            return Err(chain("gcp.root", "a certification authority that signed itself"));
        }
        let signer = certificate(golden.certificate, "gcp.certificate", &mut limit)?;
        if signer.authority || !signer.issued_by(&root, &mut limit)? {
            return Err(chain("gcp.certificate", "a signer that the named root issued"));
        }
        limit.signature()?;
        let signed = match signer.key {
            PublicKey::Rsa(key) => Algorithm::RsaPssSha256.verifies(key, envelope.golden, envelope.signature),
            PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::Rsa2048(_) => false,
        };
        if !signed {
            let (expected, found) = ("the certificate's key signed it", "another signature");
            return Err(Rejection::new(Code::GcpSignature, "gcp.signature", expected, found));
        }
        Ok(Self {
            digest: golden.digest,
            issued_at: golden.issued_at,
            valid: signer.window().and(root.window()),
            snp: golden.snp,
            tdx: golden.tdx,
        })
    }

    /// SHA-384 of the firmware binary.
    pub const fn digest(&self) -> &Sha384 {
        &self.digest
    }

    /// When it was made.
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// The first second at which it can be relied on.
    pub fn valid_from(&self) -> UnixTime {
        self.valid.from.max(self.issued_at)
    }

    /// The last second at which it can be relied on: when the shorter-lived certificate ends.
    pub const fn valid_until(&self) -> UnixTime {
        self.valid.until
    }

    /// Whether both certificates are within their dates at `now`, and it was made by then.
    pub fn valid_at(&self, now: UnixTime) -> bool {
        (self.valid_from()..=self.valid_until()).contains(&now)
    }

    /// What it says of SEV-SNP, if its security version is `minimum_svn` or more.
    ///
    /// # Errors
    /// `GCP_ENDORSEMENT` when it does not speak of SEV-SNP, `GCP_SVN` when the version is lower.
    pub fn snp(&self, minimum_svn: u32) -> Result<&SnpFirmware, Rejection> {
        let firmware = self.snp.as_ref().ok_or_else(|| silent("SEV-SNP"))?;
        at_least(firmware.svn, minimum_svn).map(|()| firmware)
    }

    /// What it says of TDX, if its security version is `minimum_svn` or more.
    ///
    /// # Errors
    /// `GCP_ENDORSEMENT` when it does not speak of TDX, `GCP_SVN` when the version is lower.
    pub fn tdx(&self, minimum_svn: u32) -> Result<&TdxFirmware, Rejection> {
        let firmware = self.tdx.as_ref().ok_or_else(|| silent("TDX"))?;
        at_least(firmware.svn, minimum_svn).map(|()| firmware)
    }
}

fn certificate<'a>(
    der: &'a [u8],
    field: &'static str,
    limit: &mut WorkLimit,
) -> Result<Certificate<'a>, Rejection> {
    limit.certificate()?;
    Certificate::parse_google(der).map_err(|error| {
        Rejection::new(
            Code::GcpChain,
            field,
            "an RSA-4096 certificate, RSASSA-PSS, SHA-256",
            error.to_string(),
        )
    })
}

fn chain(field: &'static str, expected: &str) -> Rejection {
    Rejection::new(Code::GcpChain, field, expected, "another certificate")
}

fn malformed(error: ProtobufError) -> Rejection {
    Rejection::new(Code::GcpEndorsement, "gcp.endorsement", "a VMLaunchEndorsement", error.to_string())
}

fn silent(tee: &str) -> Rejection {
    let expected = format!("measurements for {tee}");
    Rejection::new(Code::GcpEndorsement, "gcp.endorsement", expected, "none")
}

fn at_least(found: u32, least: u32) -> Result<(), Rejection> {
    if found >= least {
        return Ok(());
    }
    let expected = format!("at least {least}");
    Err(Rejection::new(Code::GcpSvn, "gcp.svn", expected, found.to_string()))
}

/// `VMLaunchEndorsement`.
struct Envelope<'a> {
    golden: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let (mut golden, mut signature) = (None, None);
        let mut message = Message::new(bytes);
        while let Some((field, value)) = message.next()? {
            match field {
                1 => once(&mut golden, value.bytes("serialized_uefi_golden")?, "serialized_uefi_golden")?,
                2 => once(&mut signature, value.bytes("signature")?, "signature")?,
                _ => {}
            }
        }
        Ok(Self {
            golden: golden.ok_or(ProtobufError::Field("serialized_uefi_golden"))?,
            signature: signature.ok_or(ProtobufError::Field("signature"))?,
        })
    }
}

/// `VMGoldenMeasurement`.
struct Golden<'a> {
    issued_at: UnixTime,
    certificate: &'a [u8],
    digest: Sha384,
    snp: Option<SnpFirmware>,
    tdx: Option<TdxFirmware>,
}

impl<'a> Golden<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let (mut timestamp, mut change, mut commit, mut certificate) = (None, None, None, None);
        let (mut digest, mut bundle, mut snp, mut tdx) = (None, None, None, None);
        let mut message = Message::new(bytes);
        while let Some((field, value)) = message.next()? {
            match field {
                1 => once(&mut timestamp, seconds(value.bytes("timestamp")?)?, "timestamp")?,
                2 => once(&mut change, value.number("cl_spec")?, "cl_spec")?,
                3 => once(&mut commit, value.bytes("commit")?, "commit")?,
                4 => once(&mut certificate, value.bytes("cert")?, "cert")?,
                5 => once(&mut digest, Sha384::new(value.array("digest")?), "digest")?,
                6 => once(&mut bundle, value.bytes("ca_bundle")?, "ca_bundle")?,
                7 => once(&mut snp, snp_firmware(value.bytes("sev_snp")?)?, "sev_snp")?,
                8 => once(&mut tdx, tdx_firmware(value.bytes("tdx")?)?, "tdx")?,
                _ => {}
            }
        }
        let issued_at = timestamp.ok_or(ProtobufError::Field("timestamp"))?;
        let anonymous = change.is_none_or(|change| change == 0) && commit.is_none_or(<[u8]>::is_empty);
        if anonymous && issued_at > PROVENANCE_SINCE {
            return Err(ProtobufError::Field("cl_spec or commit"));
        }
        Ok(Self {
            issued_at,
            certificate: certificate.ok_or(ProtobufError::Field("cert"))?,
            digest: digest.ok_or(ProtobufError::Field("digest"))?,
            snp,
            tdx,
        })
    }
}

/// `google.protobuf.Timestamp`, in whole seconds.
fn seconds(bytes: &[u8]) -> Result<UnixTime, ProtobufError> {
    let (mut seconds, mut nanos) = (None, None);
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => once(&mut seconds, value.number("timestamp.seconds")?, "timestamp.seconds")?,
            2 => once(&mut nanos, value.number_32("timestamp.nanos")?, "timestamp.nanos")?,
            _ => {}
        }
    }
    let seconds = seconds.filter(|seconds| i64::try_from(*seconds).is_ok());
    seconds.map(UnixTime::from_seconds).ok_or(ProtobufError::Field("timestamp.seconds"))
}

/// `VMSevSnp`.
fn snp_firmware(bytes: &[u8]) -> Result<SnpFirmware, ProtobufError> {
    let (mut svn, mut policy, mut family, mut image, mut bundle) = (None, None, None, None, None);
    let mut measurements = BTreeMap::new();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => once(&mut svn, value.number_32("sev_snp.svn")?, "sev_snp.svn")?,
            2 => {
                let (processors, measurement) = map_entry(value)?;
                let known = measurements.insert(processors, measurement).is_some();
                if known || processors == 0 || measurements.len() > MAX_MEASUREMENTS {
                    return Err(ProtobufError::Field("sev_snp.measurements"));
                }
            }
            3 => once(&mut family, value.array::<16>("sev_snp.family_id")?, "sev_snp.family_id")?,
            4 => once(&mut image, value.array::<16>("sev_snp.image_id")?, "sev_snp.image_id")?,
            5 => once(&mut policy, value.number("sev_snp.policy")?, "sev_snp.policy")?,
            6 => once(&mut bundle, value.bytes("sev_snp.ca_bundle")?, "sev_snp.ca_bundle")?,
            _ => {}
        }
    }
    if measurements.is_empty() {
        return Err(ProtobufError::Field("sev_snp.measurements"));
    }
    // proto3 leaves out a zero
    Ok(SnpFirmware { svn: svn.unwrap_or(0), measurements, policy: policy.unwrap_or(0) })
}

fn map_entry(entry: Value<'_>) -> Result<(u32, Measurement), ProtobufError> {
    const NAME: &str = "sev_snp.measurements";
    let (mut key, mut measurement) = (None, None);
    let mut message = Message::new(entry.bytes(NAME)?);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => once(&mut key, value.number_32(NAME)?, NAME)?,
            2 => once(&mut measurement, Measurement::new(value.array(NAME)?), NAME)?,
            _ => {}
        }
    }
    Ok((key.ok_or(ProtobufError::Field(NAME))?, measurement.ok_or(ProtobufError::Field(NAME))?))
}

/// `VMTdx`.
fn tdx_firmware(bytes: &[u8]) -> Result<TdxFirmware, ProtobufError> {
    let mut svn = None;
    let mut measurements = Vec::new();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => once(&mut svn, value.number_32("tdx.svn")?, "tdx.svn")?,
            2 if measurements.len() < MAX_MEASUREMENTS => {
                measurements.push(tdx_measurement(value.bytes("tdx.measurements")?)?);
            }
            2 => return Err(ProtobufError::Field("tdx.measurements")),
            _ => {}
        }
    }
    if measurements.is_empty() {
        return Err(ProtobufError::Field("tdx.measurements"));
    }
    Ok(TdxFirmware { svn: svn.unwrap_or(0), measurements })
}

fn tdx_measurement(bytes: &[u8]) -> Result<TdxFirmwareMeasurement, ProtobufError> {
    let (mut ram_gib, mut early, mut mr_td) = (None, None, None);
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => once(&mut ram_gib, value.number_32("ram_gib")?, "ram_gib")?,
            2 => once(&mut early, value.number("early_accept")?, "early_accept")?,
            3 => once(&mut mr_td, Measurement::new(value.array("mrtd")?), "mrtd")?,
            _ => {}
        }
    }
    let early_accept = match early.unwrap_or(0) {
        0 => false,
        1 => true,
        _ => return Err(ProtobufError::Field("early_accept")),
    };
    let mr_td = mr_td.ok_or(ProtobufError::Field("mrtd"))?;
    Ok(TdxFirmwareMeasurement { ram_gib: ram_gib.unwrap_or(0), early_accept, mr_td })
}
