//! The evidence document: an RFC 9999 CMW collection, bounded, decoded but not believed (`postern/1` section A5).

use crate::cbor::{CborError, Key, Reader, Writer};
use crate::rejection::{Code, Rejection};
use std::fmt;

/// Longest raw report or quote, in bytes.
pub const MAX_CPU_EVIDENCE_BYTES: usize = 64 * 1024;

const MAX_TYPE_BYTES: usize = 96;
const MAX_MEMBERS: u64 = 16;

const CLAIMS_TYPE: &str = "application/vnd.postern.claims+cbor";
const KEYSET_TYPE: &str = "application/vnd.postern.keyset+cbor";
const ENDORSEMENTS_TYPE: &str = "application/vnd.postern.endorsements+cbor";
const DEVICES_TYPE: &str = "application/vnd.postern.devices+cbor";
const RELEASE_TYPE: &str = "application/vnd.postern.release+cbor";
const DEPLOYMENT_TYPE: &str = "application/vnd.postern.deployment+cbor";

/// RFC 9999 section 3.1, `cm-type` bit 2: this message is evidence.
const IND_EVIDENCE: u64 = 1 << 2;
/// RFC 9999 section 3.1, `cm-type` bit 1: this message is endorsements.
const IND_ENDORSEMENTS: u64 = 1 << 1;

/// The kind of trusted execution environment that made the CPU evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TeeType {
    /// AMD SEV-SNP, a bare attestation report.
    Snp,
    /// Intel TDX, a bare quote.
    Tdx,
    /// AMD SEV-SNP behind the Azure paravisor.
    AzureSnp,
    /// Intel TDX behind the Azure paravisor.
    AzureTdx,
}

impl TeeType {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 4] = [Self::Snp, Self::Tdx, Self::AzureSnp, Self::AzureTdx];

    /// The name policies use: `snp`, `tdx`, `az-snp`, `az-tdx`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snp => "snp",
            Self::Tdx => "tdx",
            Self::AzureSnp => "az-snp",
            Self::AzureTdx => "az-tdx",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Snp => "application/vnd.postern.snp-report",
            Self::Tdx => "application/vnd.postern.tdx-quote",
            Self::AzureSnp => "application/vnd.postern.az-snp+cbor",
            Self::AzureTdx => "application/vnd.postern.az-tdx+cbor",
        }
    }
}

impl fmt::Display for TeeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the CPU signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuEvidence {
    /// Which hardware says so.
    pub tee: TeeType,
    /// The raw report or quote.
    pub bytes: Vec<u8>,
}

/// The document of A5. Claims and keyset are kept as the bytes that were hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceDocument {
    /// Claims bytes, exactly as hashed into report data.
    pub claims: Vec<u8>,
    /// Keyset bytes, exactly as hashed into the claims.
    pub keyset: Vec<u8>,
    /// The hardware's signed statement.
    pub cpu: CpuEvidence,
    /// Encoded [`Endorsements`](crate::endorsements::Endorsements).
    pub endorsements: Vec<u8>,
    /// Evidence of attached devices.
    pub devices: Option<Vec<u8>>,
    /// Signed release manifest.
    pub release: Option<Vec<u8>>,
    /// Deployment endorsement (A9).
    pub deployment: Option<Vec<u8>>,
}

impl EvidenceDocument {
    /// Largest document accepted, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Media type of the document on the wire.
    pub const MEDIA_TYPE: &str = "application/cmw+cbor";

    /// The document's bytes.
    pub fn encode(&self) -> Vec<u8> {
        // in the order of RFC 8949 section 4.2.1: shorter names first, then by bytes
        let members = [
            ("cpu", self.cpu.tee.media_type(), Some(&self.cpu.bytes), IND_EVIDENCE),
            ("claims", CLAIMS_TYPE, Some(&self.claims), IND_EVIDENCE),
            ("keyset", KEYSET_TYPE, Some(&self.keyset), IND_EVIDENCE),
            ("devices", DEVICES_TYPE, self.devices.as_ref(), IND_EVIDENCE),
            ("release", RELEASE_TYPE, self.release.as_ref(), IND_ENDORSEMENTS),
            ("deployment", DEPLOYMENT_TYPE, self.deployment.as_ref(), IND_ENDORSEMENTS),
            ("endorsements", ENDORSEMENTS_TYPE, Some(&self.endorsements), IND_ENDORSEMENTS),
        ];
        let mut writer = Writer::new();
        writer.map(members.iter().filter(|member| member.2.is_some()).count());
        for (name, media_type, bytes, indicator) in members {
            if let Some(bytes) = bytes {
                writer.text(name).array(3).text(media_type).bytes(bytes).uint(indicator);
            }
        }
        writer.into_bytes()
    }

    /// Reads a document. Says nothing about whether it is true.
    ///
    /// # Errors
    /// `ATT_MALFORMED`: over 256 KiB, not deterministic CBOR, an unknown or missing member, a member of
    /// another media type or indicator, or a member over its own limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttMalformed, "document"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(CborError::TooLong(0));
        }
        let (mut claims, mut keyset, mut cpu, mut endorsements) = (None, None, None, None);
        let (mut devices, mut release, mut deployment) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(MAX_MEMBERS, |key, value| {
            let at = value.position();
            let Key::Text(name) = key else { return Err(CborError::UnknownKey(at)) };
            let (target, media_type, indicator) = match name {
                "cpu" => {
                    cpu = Some(cpu_record(value)?);
                    return Ok(());
                }
                "claims" => (&mut claims, CLAIMS_TYPE, IND_EVIDENCE),
                "keyset" => (&mut keyset, KEYSET_TYPE, IND_EVIDENCE),
                "devices" => (&mut devices, DEVICES_TYPE, IND_EVIDENCE),
                "release" => (&mut release, RELEASE_TYPE, IND_ENDORSEMENTS),
                "deployment" => (&mut deployment, DEPLOYMENT_TYPE, IND_ENDORSEMENTS),
                "endorsements" => (&mut endorsements, ENDORSEMENTS_TYPE, IND_ENDORSEMENTS),
                _ => return Err(CborError::UnknownKey(at)),
            };
            let (found, content) = record(value, indicator)?;
            if found != media_type {
                return Err(CborError::Value(at));
            }
            *target = Some(content.to_vec());
            Ok::<_, CborError>(())
        })?;
        reader.finish()?;
        Ok(Self {
            claims: present_member(claims, "claims")?,
            keyset: present_member(keyset, "keyset")?,
            cpu: present_member(cpu, "cpu")?,
            endorsements: present_member(endorsements, "endorsements")?,
            devices,
            release,
            deployment,
        })
    }
}

fn present_member<T>(value: Option<T>, name: &'static str) -> Result<T, CborError> {
    value.ok_or(CborError::MissingName(name))
}

fn cpu_record(value: &mut Reader<'_>) -> Result<CpuEvidence, CborError> {
    let at = value.position();
    let (media_type, bytes) = record(value, IND_EVIDENCE)?;
    let tee =
        TeeType::ALL.into_iter().find(|tee| tee.media_type() == media_type).ok_or(CborError::Value(at))?;
    if bytes.len() > MAX_CPU_EVIDENCE_BYTES {
        return Err(CborError::TooLong(at));
    }
    Ok(CpuEvidence { tee, bytes: bytes.to_vec() })
}

/// A CMW record: `[type, value, indicator]`.
fn record<'a>(value: &mut Reader<'a>, indicator: u64) -> Result<(&'a str, &'a [u8]), CborError> {
    value.tuple(3)?;
    let media_type = value.text(MAX_TYPE_BYTES)?;
    let content = value.bytes(EvidenceDocument::MAX_BYTES)?;
    let at = value.position();
    if value.uint()? == indicator { Ok((media_type, content)) } else { Err(CborError::Value(at)) }
}

#[cfg(test)]
mod tests;
