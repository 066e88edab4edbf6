//! The SNP attestation report: document 56860, table `ATTESTATION_REPORT`.

use crate::SimteeError;
use crate::keys::VekKey;
use crate::product::{Product, Tcb, TcbLayout};

/// Length of a report in bytes, signature included.
pub const LENGTH: usize = 0x4a0;
/// Length of the signed part in bytes.
pub const SIGNED_LENGTH: usize = 0x2a0;

/// Where each field starts, in bytes from the start of the report.
pub mod offset {
    /// Report version, u32.
    pub const VERSION: usize = 0x000;
    /// Guest security version number, u32.
    pub const GUEST_SVN: usize = 0x004;
    /// Guest policy, u64.
    pub const POLICY: usize = 0x008;
    /// Family id, 16 bytes.
    pub const FAMILY_ID: usize = 0x010;
    /// Image id, 16 bytes.
    pub const IMAGE_ID: usize = 0x020;
    /// Virtual machine privilege level, u32.
    pub const VMPL: usize = 0x030;
    /// Signature algorithm, u32; 1 is ECDSA P-384 with SHA-384.
    pub const SIGNATURE_ALGORITHM: usize = 0x034;
    /// Current TCB version, 8 bytes.
    pub const CURRENT_TCB: usize = 0x038;
    /// Platform information, u64.
    pub const PLATFORM_INFO: usize = 0x040;
    /// Signing key, chip key masking, author key: u32.
    pub const KEY_INFO: usize = 0x048;
    /// Report data, 64 bytes.
    pub const REPORT_DATA: usize = 0x050;
    /// Launch measurement, 48 bytes.
    pub const MEASUREMENT: usize = 0x090;
    /// Data given by the host at launch, 32 bytes.
    pub const HOST_DATA: usize = 0x0c0;
    /// Digest of the id key, 48 bytes.
    pub const ID_KEY_DIGEST: usize = 0x0e0;
    /// Digest of the author key, 48 bytes.
    pub const AUTHOR_KEY_DIGEST: usize = 0x110;
    /// Id of this guest, 32 bytes.
    pub const REPORT_ID: usize = 0x140;
    /// Id of the guest's migration agent, 32 bytes; all ones when there is none.
    pub const REPORT_ID_MA: usize = 0x160;
    /// Reported TCB version, 8 bytes.
    pub const REPORTED_TCB: usize = 0x180;
    /// CPUID family, model, stepping; version 3 and later.
    pub const CPUID: usize = 0x188;
    /// Chip id, 64 bytes.
    pub const CHIP_ID: usize = 0x1a0;
    /// Committed TCB version, 8 bytes.
    pub const COMMITTED_TCB: usize = 0x1e0;
    /// Current firmware: build, minor, major.
    pub const CURRENT_FIRMWARE: usize = 0x1e8;
    /// Committed firmware: build, minor, major.
    pub const COMMITTED_FIRMWARE: usize = 0x1ec;
    /// TCB version at launch, 8 bytes.
    pub const LAUNCH_TCB: usize = 0x1f0;
    /// Mitigations in force at launch, u64; version 5 and later.
    pub const LAUNCH_MITIGATIONS: usize = 0x1f8;
    /// Mitigations in force now, u64; version 5 and later.
    pub const CURRENT_MITIGATIONS: usize = 0x200;
    /// Signature: R then S.
    pub const SIGNATURE: usize = 0x2a0;
}

/// Length of one half of the signature field in bytes; the number is little-endian, zero padded.
const SIGNATURE_HALF: usize = 72;

/// Build, minor and major number of the SNP firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Build number.
    pub build: u8,
    /// Minor version of the ABI.
    pub minor: u8,
    /// Major version of the ABI.
    pub major: u8,
}

/// Every field of a report, free to be changed. [`Report::new`] gives good values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the ones documented in `offset`")]
pub struct Report {
    pub version: u32,
    pub guest_svn: u32,
    pub policy: u64,
    pub family_id: [u8; 16],
    pub image_id: [u8; 16],
    pub vmpl: u32,
    pub signature_algorithm: u32,
    pub tcb_layout: TcbLayout,
    pub current_tcb: Tcb,
    pub platform_info: u64,
    pub key_info: u32,
    pub report_data: [u8; 64],
    pub measurement: [u8; 48],
    pub host_data: [u8; 32],
    pub id_key_digest: [u8; 48],
    pub author_key_digest: [u8; 48],
    pub report_id: [u8; 32],
    pub report_id_ma: [u8; 32],
    pub reported_tcb: Tcb,
    pub cpuid: [u8; 3],
    pub chip_id: [u8; 64],
    pub committed_tcb: Tcb,
    pub current_firmware: Firmware,
    pub committed_firmware: Firmware,
    pub launch_tcb: Tcb,
    pub launch_mitigations: u64,
    pub current_mitigations: u64,
    /// Raw bytes laid over the encoded fields before signing, at offsets below [`SIGNED_LENGTH`]:
    /// for reserved ranges and anything else the fields above cannot say.
    pub patches: Vec<(usize, Vec<u8>)>,
}

impl Report {
    /// A report of an up-to-date machine of this product: VMPL 0, VCEK-signed, no debugging, no
    /// migration agent, alias check complete, everything the guest supplies still zero.
    ///
    /// The fields a version does not have (CPUID below 3, mitigations below 5) are zero.
    pub fn new(product: Product, version: u32) -> Self {
        let tcb = product.current_tcb();
        let firmware = Firmware { build: 5, minor: 58, major: 1 };
        let mitigations = if version >= 5 { 0x3f } else { 0 };
        Self {
            version,
            guest_svn: 0,
            // Bit 17 must be one, bit 16 allows SMT, the guest asks for ABI 1.58.
            policy: 0x0003_013a,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            signature_algorithm: 1,
            tcb_layout: product.tcb_layout(),
            current_tcb: tcb,
            // SMT on, ECC on, alias check complete.
            platform_info: 0x25,
            key_info: 0,
            report_data: [0; 64],
            measurement: [0; 48],
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0x51; 32],
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpuid: if version >= 3 { product.cpuid() } else { [0; 3] },
            chip_id: [0; 64],
            committed_tcb: tcb,
            current_firmware: firmware,
            committed_firmware: firmware,
            launch_tcb: tcb,
            launch_mitigations: mitigations,
            current_mitigations: mitigations,
            patches: Vec::new(),
        }
    }

    /// Sets all four TCB versions (current, reported, committed, launch) alike.
    pub fn set_tcb(&mut self, tcb: Tcb) {
        self.current_tcb = tcb;
        self.reported_tcb = tcb;
        self.committed_tcb = tcb;
        self.launch_tcb = tcb;
    }

    /// The signed part: [`SIGNED_LENGTH`] bytes. Patches past its end are cut off.
    pub fn body(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIGNED_LENGTH];
        let mut put = |at: usize, field: &[u8]| {
            for (target, byte) in bytes.iter_mut().skip(at).zip(field) {
                *target = *byte;
            }
        };
        put(offset::VERSION, &self.version.to_le_bytes());
        put(offset::GUEST_SVN, &self.guest_svn.to_le_bytes());
        put(offset::POLICY, &self.policy.to_le_bytes());
        put(offset::FAMILY_ID, &self.family_id);
        put(offset::IMAGE_ID, &self.image_id);
        put(offset::VMPL, &self.vmpl.to_le_bytes());
        put(offset::SIGNATURE_ALGORITHM, &self.signature_algorithm.to_le_bytes());
        put(offset::CURRENT_TCB, &self.tcb_layout.encode(self.current_tcb));
        put(offset::PLATFORM_INFO, &self.platform_info.to_le_bytes());
        put(offset::KEY_INFO, &self.key_info.to_le_bytes());
        put(offset::REPORT_DATA, &self.report_data);
        put(offset::MEASUREMENT, &self.measurement);
        put(offset::HOST_DATA, &self.host_data);
        put(offset::ID_KEY_DIGEST, &self.id_key_digest);
        put(offset::AUTHOR_KEY_DIGEST, &self.author_key_digest);
        put(offset::REPORT_ID, &self.report_id);
        put(offset::REPORT_ID_MA, &self.report_id_ma);
        put(offset::REPORTED_TCB, &self.tcb_layout.encode(self.reported_tcb));
        put(offset::CPUID, &self.cpuid);
        put(offset::CHIP_ID, &self.chip_id);
        put(offset::COMMITTED_TCB, &self.tcb_layout.encode(self.committed_tcb));
        put(offset::CURRENT_FIRMWARE, &self.current_firmware.encode());
        put(offset::COMMITTED_FIRMWARE, &self.committed_firmware.encode());
        put(offset::LAUNCH_TCB, &self.tcb_layout.encode(self.launch_tcb));
        put(offset::LAUNCH_MITIGATIONS, &self.launch_mitigations.to_le_bytes());
        put(offset::CURRENT_MITIGATIONS, &self.current_mitigations.to_le_bytes());
        for (at, patch) in &self.patches {
            put(*at, patch);
        }
        bytes
    }

    /// The whole report, signed with `key`: [`LENGTH`] bytes.
    pub fn sign(&self, key: &VekKey) -> Result<Vec<u8>, SimteeError> {
        let mut bytes = self.body();
        let (r, s) = key.sign(&bytes)?;
        for half in [r, s] {
            let mut field: Vec<u8> = half.into_iter().rev().collect();
            field.resize(SIGNATURE_HALF, 0);
            bytes.extend_from_slice(&field);
        }
        bytes.resize(LENGTH, 0);
        Ok(bytes)
    }

    /// Reads the fields of a report; TCB versions as `layout` says. Reserved bytes and the signature
    /// are not looked at. `None` when the length is wrong.
    pub fn parse(bytes: &[u8], layout: TcbLayout) -> Option<Self> {
        if bytes.len() != LENGTH {
            return None;
        }
        let u32_at = |at| take(bytes, at).map(u32::from_le_bytes);
        let u64_at = |at| take(bytes, at).map(u64::from_le_bytes);
        let tcb_at = |at| take(bytes, at).map(|field| layout.decode(field));
        Some(Self {
            version: u32_at(offset::VERSION)?,
            guest_svn: u32_at(offset::GUEST_SVN)?,
            policy: u64_at(offset::POLICY)?,
            family_id: take(bytes, offset::FAMILY_ID)?,
            image_id: take(bytes, offset::IMAGE_ID)?,
            vmpl: u32_at(offset::VMPL)?,
            signature_algorithm: u32_at(offset::SIGNATURE_ALGORITHM)?,
            tcb_layout: layout,
            current_tcb: tcb_at(offset::CURRENT_TCB)?,
            platform_info: u64_at(offset::PLATFORM_INFO)?,
            key_info: u32_at(offset::KEY_INFO)?,
            report_data: take(bytes, offset::REPORT_DATA)?,
            measurement: take(bytes, offset::MEASUREMENT)?,
            host_data: take(bytes, offset::HOST_DATA)?,
            id_key_digest: take(bytes, offset::ID_KEY_DIGEST)?,
            author_key_digest: take(bytes, offset::AUTHOR_KEY_DIGEST)?,
            report_id: take(bytes, offset::REPORT_ID)?,
            report_id_ma: take(bytes, offset::REPORT_ID_MA)?,
            reported_tcb: tcb_at(offset::REPORTED_TCB)?,
            cpuid: take(bytes, offset::CPUID)?,
            chip_id: take(bytes, offset::CHIP_ID)?,
            committed_tcb: tcb_at(offset::COMMITTED_TCB)?,
            current_firmware: Firmware::decode(take(bytes, offset::CURRENT_FIRMWARE)?),
            committed_firmware: Firmware::decode(take(bytes, offset::COMMITTED_FIRMWARE)?),
            launch_tcb: tcb_at(offset::LAUNCH_TCB)?,
            launch_mitigations: u64_at(offset::LAUNCH_MITIGATIONS)?,
            current_mitigations: u64_at(offset::CURRENT_MITIGATIONS)?,
            patches: Vec::new(),
        })
    }
}

impl Firmware {
    fn encode(self) -> [u8; 3] {
        [self.build, self.minor, self.major]
    }

    fn decode([build, minor, major]: [u8; 3]) -> Self {
        Self { build, minor, major }
    }
}

/// `N` bytes at an offset, or `None` past the end.
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
