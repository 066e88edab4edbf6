//! What the enclave says about itself (RATS "claims"; `postern/1` section A3) and how hardware commits to it (A4).
//! Nothing here is believed until a report's data equals [`report_data`] of exactly these bytes.

use crate::cbor::{CborError, Key, Reader, Writer, present};
use crate::digest::{Nonce, ReportData, Sha256, Sha384};
use crate::rejection::{Code, Rejection};
use std::fmt;

/// Largest encoding of claims, in bytes.
pub const MAX_CLAIMS_BYTES: usize = 4096;

/// Version of the claims structure.
pub const CLAIMS_VERSION: u64 = 1;

/// First key of the extensions a reader may ignore.
const FIRST_EXTENSION: u64 = 1000;
/// The extension that names the log of the state head.
const LOG: u64 = 1001;
/// Longest name of a log, in bytes.
const MAX_LOG_BYTES: usize = 32;

/// Which end of which channel the enclave speaks as. Distinct per direction, so that reflection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The gateway, towards clients.
    Gateway,
    /// A replica answering another.
    PeerResponder,
    /// A replica calling another.
    PeerInitiator,
    /// The provisioning endpoint, towards the operator.
    Provisioning,
}

impl Role {
    /// The number of A3 key 2, also the first byte of the exporter context.
    pub const fn number(self) -> u8 {
        match self {
            Self::Gateway => 0,
            Self::PeerResponder => 1,
            Self::PeerInitiator => 2,
            Self::Provisioning => 3,
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Gateway),
            1 => Some(Self::PeerResponder),
            2 => Some(Self::PeerInitiator),
            3 => Some(Self::Provisioning),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::PeerResponder => "peer-responder",
            Self::PeerInitiator => "peer-initiator",
            Self::Provisioning => "provisioning",
        })
    }
}

/// A way to send content to the enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Message encryption, A7.
    E,
    /// Attested TLS, A6.
    T,
}

impl Channel {
    /// The text of A3 key 11.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::E => "E",
            Self::T => "T",
        }
    }
}

/// A public randomness beacon round, proving that the claims are not older than it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Hash naming the beacon chain.
    pub chain: Sha256,
    /// Round number.
    pub round: u64,
    /// SHA-256 of the round's signature.
    pub signature_sha256: Sha256,
}

/// What made the enclave ask for evidence, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Made on the enclave's own schedule; fresh by a beacon.
    Epoch {
        /// The round it was made after.
        beacon: Beacon,
    },
    /// Made for one verifier's nonce.
    Challenge {
        /// The verifier's nonce.
        nonce: Nonce,
    },
    /// Made for one TLS session.
    Session {
        /// The verifier's nonce.
        nonce: Nonce,
        /// The session's exported keying material (A6).
        session: [u8; 32],
    },
}

impl Kind {
    /// `epoch`, `challenge` or `session`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Epoch { .. } => "epoch",
            Self::Challenge { .. } => "challenge",
            Self::Session { .. } => "session",
        }
    }
}

/// Head of the enclave's append-only state log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHead {
    /// Number of leaves.
    pub tree_size: u64,
    /// Merkle root.
    pub root: Sha256,
}

/// How well the enclave knows the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeQuality {
    /// Independent sources agree.
    Good,
    /// They do not, or are out of reach.
    Degraded,
}

/// The claims of A3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnclaveClaims {
    /// Which end of which channel speaks (key 2).
    pub role: Role,
    /// Why the evidence was made (keys 3, 4, 5, 10).
    pub kind: Kind,
    /// SHA-384 of the keyset bytes (key 6).
    pub keyset_digest: Sha384,
    /// SHA-384 of the public configuration bytes (key 7).
    pub config_digest: Sha384,
    /// SHA-256 of the deployment authority's SPKI, 32 zero bytes if there is none (key 8).
    pub deployment_id: [u8; 32],
    /// Random per boot (key 9).
    pub instance_id: [u8; 16],
    /// Channels offered (key 11). Encoded sorted; duplicates are refused on reading.
    pub channels: Vec<Channel>,
    /// Lowest protocol version offered (key 12).
    pub min_version: u64,
    /// Highest protocol version offered (key 12).
    pub max_version: u64,
    /// State log head, if the enclave keeps one (key 13).
    pub state_head: Option<StateHead>,
    /// Which log of the deployment that is, since each replica writes its own (key 1001; absent in evidence that is older
    /// than this claim).
    pub log: Option<String>,
    /// SHA-256 of attached device evidence, if there is any (key 14).
    pub gpu_digest: Option<Sha256>,
    /// How well the enclave knows the time (key 15).
    pub time_quality: TimeQuality,
}

impl EnclaveClaims {
    /// The bytes that are hashed into report data.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let fields: usize = match self.kind {
            Kind::Challenge { .. } | Kind::Epoch { .. } => 13,
            Kind::Session { .. } => 14,
        };
        writer.map(fields.saturating_add(usize::from(self.log.is_some())));
        writer.uint(1).uint(CLAIMS_VERSION).uint(2).uint(u64::from(self.role.number()));
        match &self.kind {
            Kind::Epoch { .. } => writer.uint(3).uint(0),
            Kind::Challenge { nonce } => writer.uint(3).uint(1).uint(4).bytes(nonce.as_bytes()),
            Kind::Session { nonce, session } => {
                writer.uint(3).uint(2).uint(4).bytes(nonce.as_bytes()).uint(5).bytes(session)
            }
        };
        writer.uint(6).bytes(self.keyset_digest.as_bytes()).uint(7).bytes(self.config_digest.as_bytes());
        writer.uint(8).bytes(&self.deployment_id).uint(9).bytes(&self.instance_id);
        if let Kind::Epoch { beacon } = &self.kind {
            writer.uint(10).array(3).bytes(beacon.chain.as_bytes()).uint(beacon.round);
            writer.bytes(beacon.signature_sha256.as_bytes());
        }
        let mut channels = self.channels.clone();
        channels.sort_unstable();
        writer.uint(11).array(channels.len());
        for channel in channels {
            writer.text(channel.as_str());
        }
        writer.uint(12).array(2).uint(self.min_version).uint(self.max_version);
        match &self.state_head {
            Some(head) => writer.uint(13).array(2).uint(head.tree_size).bytes(head.root.as_bytes()),
            None => writer.uint(13).null(),
        };
        match &self.gpu_digest {
            Some(digest) => writer.uint(14).bytes(digest.as_bytes()),
            None => writer.uint(14).null(),
        };
        writer.uint(15).uint(match self.time_quality {
            TimeQuality::Good => 0,
            TimeQuality::Degraded => 1,
        });
        if let Some(log) = &self.log {
            writer.uint(LOG).text(log);
        }
        writer.into_bytes()
    }

    /// Reads claims.
    ///
    /// # Errors
    /// `ATT_CLAIMS_MALFORMED`: not deterministic CBOR, an unknown key below 1000, a missing key, a wrong type,
    /// or keys that do not belong to the kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        Self::parse(bytes).map_err(|error| error.reject(Code::AttClaimsMalformed, "claims"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > MAX_CLAIMS_BYTES {
            return Err(CborError::TooLong(0));
        }
        let mut fields = Fields::default();
        let mut reader = Reader::new(bytes);
        reader.map(64, |key, value| fields.read(key, value))?;
        reader.finish()?;
        fields.complete()
    }
}

/// Report data that commits to claims bytes exactly as given (A4).
pub fn report_data(claims: &[u8]) -> ReportData {
    let length = u32::try_from(claims.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut hash = ring::digest::Context::new(&ring::digest::SHA512);
    hash.update(b"postern/1 report-data\0");
    hash.update(&length);
    hash.update(claims);
    let mut out = [0; 64];
    out.copy_from_slice(hash.finish().as_ref());
    ReportData::new(out)
}

/// The 32 bytes a TPM quotes as `extraData` in place of report data (A4).
pub fn tpm_extra_data(report_data: &ReportData) -> Sha256 {
    let mut preimage = b"postern/1 tpm-extra\0".to_vec();
    preimage.extend_from_slice(report_data.as_bytes());
    Sha256::of(&preimage)
}

/// A field that must be there but may be null.
type Nullable<T> = Result<T, Null>;

/// A null.
struct Null;

/// Fields as they come; completeness is judged at the end.
#[derive(Default)]
struct Fields {
    version: Option<u64>,
    role: Option<Role>,
    kind: Option<u64>,
    nonce: Option<Nonce>,
    session: Option<[u8; 32]>,
    keyset_digest: Option<Sha384>,
    config_digest: Option<Sha384>,
    deployment_id: Option<[u8; 32]>,
    instance_id: Option<[u8; 16]>,
    beacon: Option<Beacon>,
    channels: Option<Vec<Channel>>,
    versions: Option<(u64, u64)>,
    state_head: Option<Nullable<StateHead>>,
    gpu_digest: Option<Nullable<Sha256>>,
    time_quality: Option<TimeQuality>,
    log: Option<String>,
}

impl Fields {
    fn read(&mut self, key: Key<'_>, value: &mut Reader<'_>) -> Result<(), CborError> {
        let at = value.position();
        let Key::Uint(key) = key else { return Err(CborError::UnknownKey(at)) };
        match key {
            1 => self.version = Some(value.uint()?),
            2 => self.role = Some(Role::from_number(value.uint()?).ok_or(CborError::Value(at))?),
            3 => self.kind = Some(value.uint()?),
            4 => self.nonce = Some(Nonce::new(value.array_of()?)),
            5 => self.session = Some(value.array_of()?),
            6 => self.keyset_digest = Some(Sha384::new(value.array_of()?)),
            7 => self.config_digest = Some(Sha384::new(value.array_of()?)),
            8 => self.deployment_id = Some(value.array_of()?),
            9 => self.instance_id = Some(value.array_of()?),
            10 => self.beacon = Some(beacon(value)?),
            11 => self.channels = Some(channels(value)?),
            12 => self.versions = Some(versions(value)?),
            13 => self.state_head = Some(state_head(value)?),
            14 => {
                self.gpu_digest =
                    Some(if value.null() { Err(Null) } else { Ok(Sha256::new(value.array_of()?)) });
            }
            15 => self.time_quality = Some(time_quality(value)?),
            LOG => self.log = Some(value.text(MAX_LOG_BYTES)?.to_owned()),
            key if key >= FIRST_EXTENSION => value.skip()?,
            _ => return Err(CborError::UnknownKey(at)),
        }
        Ok(())
    }

    fn complete(self) -> Result<EnclaveClaims, CborError> {
        let missing = CborError::MissingKey;
        if present(self.version, 1)? != CLAIMS_VERSION {
            return Err(CborError::Value(0));
        }
        let kind = match (present(self.kind, 3)?, self.nonce, self.session, self.beacon) {
            (0, None, None, Some(beacon)) => Kind::Epoch { beacon },
            (0, None, None, None) => return Err(missing(10)),
            (1, Some(nonce), None, None) => Kind::Challenge { nonce },
            (1 | 2, None, _, _) => return Err(missing(4)),
            (2, Some(nonce), Some(session), None) => Kind::Session { nonce, session },
            (2, Some(_), None, _) => return Err(missing(5)),
            _ => return Err(CborError::Value(0)),
        };
        let (min_version, max_version) = present(self.versions, 12)?;
        Ok(EnclaveClaims {
            role: present(self.role, 2)?,
            kind,
            keyset_digest: present(self.keyset_digest, 6)?,
            config_digest: present(self.config_digest, 7)?,
            deployment_id: present(self.deployment_id, 8)?,
            instance_id: present(self.instance_id, 9)?,
            channels: present(self.channels, 11)?,
            min_version,
            max_version,
            state_head: present(self.state_head, 13)?.ok(),
            gpu_digest: present(self.gpu_digest, 14)?.ok(),
            time_quality: present(self.time_quality, 15)?,
            log: self.log,
        })
    }
}

fn beacon(value: &mut Reader<'_>) -> Result<Beacon, CborError> {
    value.tuple(3)?;
    Ok(Beacon {
        chain: Sha256::new(value.array_of()?),
        round: value.uint()?,
        signature_sha256: Sha256::new(value.array_of()?),
    })
}

fn channels(value: &mut Reader<'_>) -> Result<Vec<Channel>, CborError> {
    let mut channels = Vec::new();
    value.array(2, |item| {
        let at = item.position();
        let channel = match item.text(8)? {
            "E" => Channel::E,
            "T" => Channel::T,
            _ => return Err(CborError::Value(at)),
        };
        if channels.last().is_some_and(|last| *last >= channel) {
            return Err(CborError::Value(at));
        }
        channels.push(channel);
        Ok(())
    })?;
    if channels.is_empty() { Err(CborError::MissingKey(11)) } else { Ok(channels) }
}

fn versions(value: &mut Reader<'_>) -> Result<(u64, u64), CborError> {
    let at = value.position();
    value.tuple(2)?;
    let (min, max) = (value.uint()?, value.uint()?);
    if min == 0 || min > max { Err(CborError::Value(at)) } else { Ok((min, max)) }
}

fn state_head(value: &mut Reader<'_>) -> Result<Nullable<StateHead>, CborError> {
    if value.null() {
        return Ok(Err(Null));
    }
    value.tuple(2)?;
    Ok(Ok(StateHead { tree_size: value.uint()?, root: Sha256::new(value.array_of()?) }))
}

fn time_quality(value: &mut Reader<'_>) -> Result<TimeQuality, CborError> {
    let at = value.position();
    match value.uint()? {
        0 => Ok(TimeQuality::Good),
        1 => Ok(TimeQuality::Degraded),
        _ => Err(CborError::Value(at)),
    }
}

#[cfg(test)]
mod tests;
