//! The attestation report as bytes (AMD 56860, table `ATTESTATION_REPORT`): exact length, every reserved range zero.
//! Parsed fields are believed only after [`Report::signed_by`].

use crate::claims::snp::{CpuId, FirmwareVersion, GuestPolicy, PlatformInfo};
use crate::digest::{Measurement, ReportData};
use crate::platform::sev_snp::steps;
use crate::policy::snp::READABLE_VERSIONS;
use crate::reader::{Cursor, Truncated};
use crate::rejection::{Code, Rejection};
use crate::signature::Algorithm;

/// Exact length of every version.
pub(crate) const REPORT_BYTES: usize = 1184;

/// The signature covers what is before it.
const SIGNED_BYTES: usize = 0x2a0;

/// Bytes of R or S that carry the number, little-endian; the other 24 are zero.
const SCALAR_BYTES: usize = 48;

/// ECDSA on P-384 with SHA-384 (AMD 56860, table of signature algorithms).
const ECDSA_P384_SHA384: u32 = 1;

/// What `KEY_INFO` says about the signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyInfo(u32);

impl KeyInfo {
    pub(crate) const fn author_key_en(self) -> bool {
        self.0 & 1 != 0
    }

    pub(crate) const fn mask_chip_key(self) -> bool {
        self.0 & 2 != 0
    }

    /// 0 VCEK, 1 VLEK, 7 none.
    pub(crate) const fn signing_key(self) -> u32 {
        (self.0 >> 2) & 7
    }

    const fn reserved(self) -> u32 {
        self.0 >> 5
    }
}

/// Fields of a report in their order. TCB versions stay raw: their layout depends on the product.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "AMD's names")]
pub(crate) struct Report<'a> {
    bytes: &'a [u8],
    pub(crate) version: u32,
    pub(crate) guest_svn: u32,
    pub(crate) policy: GuestPolicy,
    pub(crate) family_id: [u8; 16],
    pub(crate) image_id: [u8; 16],
    pub(crate) vmpl: u32,
    pub(crate) signature_algorithm: u32,
    pub(crate) current_tcb: [u8; 8],
    pub(crate) platform_info: PlatformInfo,
    pub(crate) key_info: KeyInfo,
    pub(crate) report_data: ReportData,
    pub(crate) measurement: Measurement,
    pub(crate) host_data: [u8; 32],
    pub(crate) id_key_digest: [u8; 48],
    pub(crate) author_key_digest: [u8; 48],
    pub(crate) report_id: [u8; 32],
    pub(crate) report_id_ma: [u8; 32],
    pub(crate) reported_tcb: [u8; 8],
    pub(crate) cpuid: Option<CpuId>,
    pub(crate) chip_id: [u8; 64],
    pub(crate) committed_tcb: [u8; 8],
    pub(crate) current_firmware: FirmwareVersion,
    pub(crate) committed_firmware: FirmwareVersion,
    pub(crate) launch_tcb: [u8; 8],
    pub(crate) launch_mitigations: u64,
    pub(crate) current_mitigations: u64,
    r: [u8; 72],
    s: [u8; 72],
    /// Offset of the first reserved byte that is not zero.
    dirty: Option<usize>,
}

impl<'a> Report<'a> {
    /// Reads a report of version 2 to 5.
    ///
    /// # Errors
    /// `ATT_MALFORMED` for another length, `SNP_VERSION` for another version.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Rejection> {
        if bytes.len() != REPORT_BYTES {
            return Err(malformed(bytes.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let version = cursor.u32_le().map_err(|_| malformed(bytes.len()))?;
        if !READABLE_VERSIONS.contains(&version) {
            let step = steps::VERSION;
            return Err(Rejection::new(step.code, step.field, "2 to 5", version.to_string()));
        }
        Self::fields(bytes, version, &mut cursor).map_err(|_| malformed(bytes.len()))
    }

    fn fields(bytes: &'a [u8], version: u32, cursor: &mut Cursor<'a>) -> Result<Self, Truncated> {
        let mut zero = Zeroes::default();
        let report = Self {
            bytes,
            version,
            guest_svn: cursor.u32_le()?,
            policy: GuestPolicy(cursor.u64_le()?),
            family_id: cursor.array()?,
            image_id: cursor.array()?,
            vmpl: cursor.u32_le()?,
            signature_algorithm: cursor.u32_le()?,
            current_tcb: cursor.array()?,
            platform_info: PlatformInfo(cursor.u64_le()?),
            key_info: KeyInfo(cursor.u32_le()?),
            report_data: {
                zero.range(cursor, 4)?; // 0x04c
                ReportData::new(cursor.array()?)
            },
            measurement: Measurement::new(cursor.array()?),
            host_data: cursor.array()?,
            id_key_digest: cursor.array()?,
            author_key_digest: cursor.array()?,
            report_id: cursor.array()?,
            report_id_ma: cursor.array()?,
            reported_tcb: cursor.array()?,
            cpuid: cpuid(version, cursor, &mut zero)?,
            chip_id: cursor.array()?,
            committed_tcb: cursor.array()?,
            current_firmware: firmware(cursor, &mut zero)?,
            committed_firmware: firmware(cursor, &mut zero)?,
            launch_tcb: cursor.array()?,
            launch_mitigations: mitigations(version, cursor, &mut zero)?,
            current_mitigations: mitigations(version, cursor, &mut zero)?,
            r: {
                zero.range(cursor, 0x2a0 - 0x208)?;
                cursor.array()?
            },
            s: cursor.array()?,
            dirty: {
                zero.range(cursor, 0x4a0 - 0x330)?; // behind the signature and not covered by it
                zero.dirty
            },
        };
        cursor.finish()?;
        Ok(report)
    }

    /// The first reserved byte or bit that is not zero, in words.
    pub(crate) fn reserved(&self) -> Option<String> {
        let bits = (self.key_info.reserved() != 0).then(|| "KEY_INFO bits".to_owned());
        self.dirty.map(|offset| format!("a byte at {offset:#05x}")).or(bits)
    }

    /// R and S as they stand.
    pub(crate) const fn signature(&self) -> ([u8; 72], [u8; 72]) {
        (self.r, self.s)
    }

    /// Whether the algorithm is the only known one and R and S are encoded as AMD does.
    pub(crate) fn signature_well_formed(&self) -> bool {
        let padded = |scalar: &[u8; 72]| scalar.iter().skip(SCALAR_BYTES).all(|byte| *byte == 0);
        self.signature_algorithm == ECDSA_P384_SHA384 && padded(&self.r) && padded(&self.s)
    }

    /// Whether `key` (an uncompressed P-384 point) signed this report. Ring refuses R or S outside 1..n.
    pub(crate) fn signed_by(&self, key: &[u8]) -> bool {
        let mut signature = [0; 2 * SCALAR_BYTES];
        let big_endian = |scalar: &[u8; 72]| {
            let mut number: Vec<u8> = scalar.iter().take(SCALAR_BYTES).copied().collect();
            number.reverse();
            number
        };
        let (r, s) = signature.split_at_mut(SCALAR_BYTES);
        r.copy_from_slice(&big_endian(&self.r));
        s.copy_from_slice(&big_endian(&self.s));
        let Some(message) = self.bytes.get(..SIGNED_BYTES) else { return false };
        self.signature_well_formed() && Algorithm::P384Fixed.verifies(key, message, &signature)
    }
}

/// Reads reserved ranges and remembers the first byte that is not zero.
#[derive(Default)]
struct Zeroes {
    dirty: Option<usize>,
}

impl Zeroes {
    fn range(&mut self, cursor: &mut Cursor<'_>, length: usize) -> Result<(), Truncated> {
        let start = cursor.position();
        let dirty = cursor.take(length)?.iter().position(|byte| *byte != 0);
        self.dirty = self.dirty.or_else(|| dirty.map(|at| start.saturating_add(at)));
        Ok(())
    }
}

/// 0x188 to 0x19f: silicon from version 3 on, reserved before.
fn cpuid(version: u32, cursor: &mut Cursor<'_>, zero: &mut Zeroes) -> Result<Option<CpuId>, Truncated> {
    if version < 3 {
        zero.range(cursor, 24)?;
        return Ok(None);
    }
    let [family, model, stepping] = cursor.array()?;
    zero.range(cursor, 21)?;
    Ok(Some(CpuId { family, model, stepping }))
}

/// 0x1f8 and 0x200: vectors from version 5 on, reserved before.
fn mitigations(version: u32, cursor: &mut Cursor<'_>, zero: &mut Zeroes) -> Result<u64, Truncated> {
    if version < 5 {
        zero.range(cursor, 8)?;
        return Ok(0);
    }
    cursor.u64_le()
}

fn firmware(cursor: &mut Cursor<'_>, zero: &mut Zeroes) -> Result<FirmwareVersion, Truncated> {
    let [build, minor, major] = cursor.array()?;
    zero.range(cursor, 1)?;
    Ok(FirmwareVersion { major, minor, build })
}

fn malformed(length: usize) -> Rejection {
    Rejection::new(
        Code::AttMalformed,
        "cpu.report",
        format!("{REPORT_BYTES} bytes"),
        format!("{length} bytes"),
    )
}
