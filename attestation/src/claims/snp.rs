//! The typed content of an SEV-SNP report (AMD 56860, table `ATTESTATION_REPORT`) and of its endorsement key.

use crate::digest::{Measurement, ReportData};
use std::fmt;

/// AMD product line, as the key distribution service and the roots name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// EPYC 9004 (Genoa, Genoa-X, Bergamo) and 8004 (Siena).
    Genoa,
    /// EPYC 7003 (Milan, Milan-X).
    Milan,
    /// EPYC 9005 (Turin, Turin Dense).
    Turin,
}

impl Product {
    /// Every product line.
    pub const ALL: [Self; 3] = [Self::Genoa, Self::Milan, Self::Turin];

    /// The name in certificates: `Genoa`, `Milan`, `Turin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Genoa => "Genoa",
            Self::Milan => "Milan",
            Self::Turin => "Turin",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Combined CPUID family, model and stepping; signed from report version 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId {
    /// Combined extended and base family.
    pub family: u8,
    /// Combined extended and base model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl CpuId {
    /// The product line of this silicon; none when this verifier does not know it.
    pub const fn product(self) -> Option<Product> {
        match (self.family, self.model) {
            (0x19, 0x00..=0x0f) => Some(Product::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Product::Genoa),
            (0x1a, 0x00..=0x11) => Some(Product::Turin),
            _ => None,
        }
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}h/{:02x}h/{}", self.family, self.model, self.stepping)
    }
}

/// One security patch level per component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcbVersion {
    /// Firmware management controller; Turin and later only.
    pub fmc: Option<u8>,
    /// AMD secure processor bootloader.
    pub bootloader: u8,
    /// AMD secure processor operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Lowest microcode patch level of all cores.
    pub microcode: u8,
}

impl TcbVersion {
    /// Components with their names, in the order in which differences are reported.
    pub const fn components(&self) -> [(&'static str, u8); 5] {
        let fmc = match self.fmc {
            Some(level) => level,
            None => 0,
        };
        [
            ("fmc", fmc),
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ]
    }

    /// The first component below `floor`'s, if any.
    pub fn below(&self, floor: &Self) -> Option<&'static str> {
        let pairs = self.components().into_iter().zip(floor.components());
        pairs.into_iter().find(|((_, own), (_, least))| own < least).map(|((name, _), _)| name)
    }
}

impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc} ")?;
        }
        write!(
            f,
            "bootloader {} tee {} snp {} microcode {:#04x}",
            self.bootloader, self.tee, self.snp, self.microcode
        )
    }
}

/// SNP firmware version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Build number.
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// Which endorsement key signed the report (`KEY_INFO` bits 4:2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningKey {
    /// One chip's key.
    Vcek,
    /// A key a cloud provider loads into its fleet.
    Vlek,
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

/// ABI version of the guest policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbiVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $position:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u64);

        impl $name {
            $($(#[$bit_doc])* pub const fn $bit(self) -> bool { self.0 & (1 << $position) != 0 })+

            /// Every bit this verifier knows, with its name.
            pub const KNOWN: &'static [(u32, &'static str)] = &[$(($position, stringify!($bit)),)+];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

bits!(
    /// The guest policy the owner launched with (AMD 56860, table `GUEST_POLICY`).
    GuestPolicy {
        /// Simultaneous multithreading is allowed.
        smt = 16;
        /// Reserved, must be one.
        must_be_one = 17;
        /// A migration agent may be associated.
        migrate_ma = 18;
        /// The host may debug the guest.
        debug = 19;
        /// The guest may run on one socket only.
        single_socket = 20;
        /// CXL devices and memory are allowed.
        cxl_allow = 21;
        /// Memory encryption must be AES-256-XTS.
        mem_aes_256_xts = 22;
        /// Running average power limit must be disabled.
        rapl_dis = 23;
        /// Ciphertext hiding must be on.
        ciphertext_hiding = 24;
        /// Page swapping by the host must be off.
        page_swap_disable = 25;
    }
);

impl GuestPolicy {
    /// Lowest ABI version the guest accepts.
    pub const fn abi(self) -> AbiVersion {
        let [minor, major, ..] = self.0.to_le_bytes();
        AbiVersion { major, minor }
    }

    /// The reserved bits 63:26.
    pub const fn reserved(self) -> u64 {
        self.0 >> 26
    }
}

bits!(
    /// State of the platform when the report was made (AMD 56860, table `PLATFORM_INFO`).
    PlatformInfo {
        /// Simultaneous multithreading is on.
        smt_en = 0;
        /// Transparent memory encryption is on.
        tsme_en = 1;
        /// Memory has error correction.
        ecc_en = 2;
        /// Running average power limit is disabled.
        rapl_dis = 3;
        /// Ciphertext hiding is on.
        ciphertext_hiding_en = 4;
        /// Memory aliases were looked for and not found (`BadRAM`).
        alias_check_complete = 5;
        /// IOMMU writes are safe (AMD-SB-3016).
        iommu_write_safe = 6;
        /// Trusted I/O is on.
        tio_en = 7;
    }
);

impl PlatformInfo {
    /// The bits this verifier does not know.
    pub const fn unknown(self) -> u64 {
        self.0 & !0xff
    }
}

/// One authenticated report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpClaims {
    /// Report format: 2 to 5.
    pub version: u32,
    /// Security version of the guest, from its ID block.
    pub guest_svn: u32,
    /// Guest policy.
    pub policy: GuestPolicy,
    /// Family the guest's owner chose.
    pub family_id: [u8; 16],
    /// Image the guest's owner chose.
    pub image_id: [u8; 16],
    /// Privilege level the report was asked for at; `0xffff_ffff` when the host asked.
    pub vmpl: u32,
    /// TCB now running.
    pub current_tcb: TcbVersion,
    /// Platform state.
    pub platform_info: PlatformInfo,
    /// Which key signed.
    pub signing_key: SigningKey,
    /// Whether the ID block was authorised by an author key.
    pub author_key_en: bool,
    /// What the guest asked to be signed.
    pub report_data: ReportData,
    /// Launch measurement.
    pub measurement: Measurement,
    /// What the host put in at launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the ID key, zero when there was no ID block.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the author key, zero when there was none.
    pub author_key_digest: [u8; 48],
    /// Identity of this guest instance.
    pub report_id: [u8; 32],
    /// Identity of its migration agent, all ones when there is none.
    pub report_id_ma: [u8; 32],
    /// TCB the endorsement key is derived from.
    pub reported_tcb: TcbVersion,
    /// Silicon, from version 3 on.
    pub cpuid: Option<CpuId>,
    /// Product line: by CPUID, for version 2 by the chain.
    pub product: Product,
    /// Chip identity, zero with a VLEK.
    pub chip_id: [u8; 64],
    /// TCB below which the platform cannot be rolled back.
    pub committed_tcb: TcbVersion,
    /// Firmware now running.
    pub current_firmware: FirmwareVersion,
    /// Firmware below which the platform cannot be rolled back.
    pub committed_firmware: FirmwareVersion,
    /// TCB when the guest was launched.
    pub launch_tcb: TcbVersion,
    /// Mitigations in force at launch; zero before version 5.
    pub launch_mitigations: u64,
    /// Mitigations in force now; zero before version 5.
    pub current_mitigations: u64,
    /// The cloud provider a VLEK was issued to.
    pub csp_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silicon_names_its_product() {
        for (family, model, product) in [
            (0x19, 0x01, Some(Product::Milan)),
            (0x19, 0x11, Some(Product::Genoa)),
            (0x19, 0xa0, Some(Product::Genoa)),
            (0x1a, 0x02, Some(Product::Turin)),
            (0x1a, 0x11, Some(Product::Turin)),
            (0x1a, 0x12, None),
            (0x19, 0x20, None),
            (0x17, 0x31, None),
        ] {
            assert_eq!(CpuId { family, model, stepping: 1 }.product(), product, "{family:#x}/{model:#x}");
        }
    }

    #[test]
    fn floors_compare_every_component() {
        let level = TcbVersion { fmc: Some(1), bootloader: 1, tee: 1, snp: 4, microcode: 0x51 };
        assert_eq!(level.below(&level), None);
        for (name, floor) in [
            ("fmc", TcbVersion { fmc: Some(2), ..level }),
            ("bootloader", TcbVersion { bootloader: 2, ..level }),
            ("tee", TcbVersion { tee: 2, ..level }),
            ("snp", TcbVersion { snp: 5, ..level }),
            ("microcode", TcbVersion { microcode: 0x52, ..level }),
        ] {
            assert_eq!(level.below(&floor), Some(name));
            assert_eq!(floor.below(&level), None);
        }
    }
}
