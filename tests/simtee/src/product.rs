//! AMD product lines, their silicon identities and their TCB versions.

use crate::SimteeError;

/// A family of processors with its own AMD root key (ARK).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, Genoa-X, Bergamo and Siena share one root.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Line {
    /// The name as it stands in certificate subjects and key server paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Serial numbers of the line's ARK, ASK and ASVK certificates. AMD's own pattern.
    pub(crate) fn serials(self) -> [[u8; 3]; 3] {
        let number = match self {
            Self::Milan => 1,
            Self::Genoa => 2,
            Self::Turin => 3,
        };
        [[number, 0, 0], [number, 0, 2], [number, 1, 1]]
    }
}

/// A kind of processor that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// EPYC 7003, stepping B1.
    Milan,
    /// EPYC 9004, stepping B1.
    Genoa,
    /// EPYC 8004 and 97x4 (Siena, Bergamo): model A0h, Genoa's root.
    Siena,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// The product line whose root signs this product's keys.
    pub fn line(self) -> Line {
        match self {
            Self::Milan => Line::Milan,
            Self::Genoa | Self::Siena => Line::Genoa,
            Self::Turin => Line::Turin,
        }
    }

    /// CPUID family, model and stepping, as in report versions 3 and later.
    pub fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 1],
            Self::Genoa => [0x19, 0x11, 1],
            Self::Siena => [0x19, 0xa0, 2],
            Self::Turin => [0x1a, 0x02, 1],
        }
    }

    /// How this product lays out TCB versions.
    pub fn tcb_layout(self) -> TcbLayout {
        match self {
            Self::Milan | Self::Genoa | Self::Siena => TcbLayout::Classic,
            Self::Turin => TcbLayout::Turin,
        }
    }

    /// Length of the hardware id in bytes: 64, or 8 on Turin.
    pub fn hardware_id_length(self) -> usize {
        match self {
            Self::Milan | Self::Genoa | Self::Siena => 64,
            Self::Turin => 8,
        }
    }

    /// TCB versions of an up-to-date machine: at or above every floor published for the line.
    pub fn current_tcb(self) -> Tcb {
        let (fmc, bootloader, tee, snp, microcode) = match self {
            Self::Milan => (0, 4, 0, 0x1b, 0xde),
            Self::Genoa => (0, 10, 0, 0x1c, 0x58),
            Self::Siena => (0, 10, 0, 0x1c, 0x20),
            Self::Turin => (1, 3, 2, 5, 0x61),
        };
        Tcb { fmc, bootloader, tee, snp, microcode }
    }

    /// The name users type: `milan`, `genoa`, `siena`, `turin`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Siena => "siena",
            Self::Turin => "turin",
        }
    }
}

impl std::str::FromStr for Product {
    type Err = SimteeError;

    fn from_str(text: &str) -> Result<Self, SimteeError> {
        [Self::Milan, Self::Genoa, Self::Siena, Self::Turin]
            .into_iter()
            .find(|product| product.key() == text)
            .ok_or_else(|| {
                SimteeError::Invalid("unknown product: give milan, genoa, siena or turin".to_owned())
            })
    }
}

/// Security versions of the parts of a platform's firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcb {
    /// FMC firmware; Turin and later only.
    pub fmc: u8,
    /// Boot loader of the security processor.
    pub bootloader: u8,
    /// TEE of the security processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode patch level.
    pub microcode: u8,
}

/// The order of the eight bytes of a TCB version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcbLayout {
    /// Boot loader, TEE, four reserved, SNP, microcode.
    Classic,
    /// FMC, boot loader, TEE, SNP, three reserved, microcode.
    Turin,
}

impl TcbLayout {
    /// The TCB version as it stands in a report.
    pub fn encode(self, tcb: Tcb) -> [u8; 8] {
        match self {
            Self::Classic => [tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode],
            Self::Turin => [tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode],
        }
    }

    /// Reads a TCB version from a report; reserved bytes are ignored.
    pub fn decode(self, bytes: [u8; 8]) -> Tcb {
        match self {
            Self::Classic => {
                Tcb { fmc: 0, bootloader: bytes[0], tee: bytes[1], snp: bytes[6], microcode: bytes[7] }
            }
            Self::Turin => {
                Tcb { fmc: bytes[0], bootloader: bytes[1], tee: bytes[2], snp: bytes[3], microcode: bytes[7] }
            }
        }
    }
}
