//! The typed content of a TDX quote (Intel DCAP quoting library, quote formats 4 and 5; Intel 348551, TDREPORT)
//! and of the certificate and collateral that endorse it.

use crate::digest::{Measurement, ReportData, UnixTime, to_hex};
use std::fmt;

/// The platform family of a PCK certificate: family, model, stepping, type, customer SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fmspc(pub [u8; 6]);

impl fmt::Display for Fmspc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// The verdict over one platform, module and quoting enclave, as Intel's own verifier names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcbStatus {
    /// Every known fix is in.
    UpToDate,
    /// Software in the TD has to mitigate something.
    SwHardeningNeeded,
    /// The platform has to be configured differently.
    ConfigurationNeeded,
    /// Both of the above.
    ConfigurationAndSwHardeningNeeded,
    /// The TD was launched under an old module; the running one is fine.
    TdRelaunchAdvised,
    /// The same, and the platform has to be configured differently.
    TdRelaunchAdvisedConfigurationNeeded,
    /// Firmware, microcode, module or quoting enclave is old.
    OutOfDate,
    /// The same, and the platform has to be configured differently.
    OutOfDateConfigurationNeeded,
    /// The keys are compromised.
    Revoked,
    /// Below every level Intel lists: never acceptable.
    NoMatchingTcbLevel,
}

impl TcbStatus {
    /// Every status.
    pub const ALL: [Self; 10] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::TdRelaunchAdvised,
        Self::TdRelaunchAdvisedConfigurationNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
        Self::NoMatchingTcbLevel,
    ];

    /// Intel's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
            Self::NoMatchingTcbLevel => "NoMatchingTcbLevel",
        }
    }

    /// Whether the platform has to be configured differently.
    pub const fn configuration_needed(self) -> bool {
        matches!(
            self,
            Self::ConfigurationNeeded
                | Self::ConfigurationAndSwHardeningNeeded
                | Self::TdRelaunchAdvisedConfigurationNeeded
                | Self::OutOfDateConfigurationNeeded
        )
    }

    /// Whether the TD's software has to mitigate something.
    pub const fn hardening_needed(self) -> bool {
        matches!(self, Self::SwHardeningNeeded | Self::ConfigurationAndSwHardeningNeeded)
    }

    /// Whether something running is old.
    pub const fn out_of_date(self) -> bool {
        matches!(self, Self::OutOfDate | Self::OutOfDateConfigurationNeeded)
    }

    /// Whether only a relaunch of the TD is wanting.
    pub const fn relaunch_advised(self) -> bool {
        matches!(self, Self::TdRelaunchAdvised | Self::TdRelaunchAdvisedConfigurationNeeded)
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
                write!(f, "{:#018x}", self.0)
            }
        }
    };
}

bits!(
    /// Attributes of a trust domain (Intel 348551-008, table 3.23).
    TdAttributes {
        /// The host may debug the TD.
        debug = 0;
        /// Instruction-count based single-step defence.
        icssd = 16;
        /// The TDREPORT covers service TDs bound later.
        servtd_ext = 17;
        /// Linear address space separation.
        lass = 27;
        /// Accesses to pending pages end the TD instead of raising an exception.
        sept_ve_disable = 28;
        /// A migration TD may move the TD.
        migratable = 29;
        /// Supervisor protection keys.
        pks = 30;
        /// Key locker.
        key_locker = 31;
        /// TDX Connect provisioning agent.
        tpa = 62;
        /// Performance monitoring.
        perfmon = 63;
    }
);

impl TdAttributes {
    /// The byte of bits 7:0, "TD under debug": any of them makes the TD untrusted.
    pub const fn under_debug(self) -> u8 {
        let [low, ..] = self.0.to_le_bytes();
        low
    }

    /// Bits that are neither in the debug byte nor one of the five that a policy speaks of.
    pub const fn others(self) -> u64 {
        self.0 & !(0xff | (1 << 28) | (1 << 29) | (1 << 30) | (1 << 31) | (1 << 63))
    }
}

/// Extended features a TD may use (the `XFAM` of Intel 348551).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xfam(pub u64);

impl Xfam {
    /// Bits that are always one: x87 and SSE state.
    pub const FIXED_ONE: u64 = 0x3;
    /// Bits that may be one.
    pub const ALLOWED: u64 = 0x0006_dbe7;

    /// Whether the fixed bits are as the architecture has them.
    pub const fn well_formed(self) -> bool {
        self.0 & Self::FIXED_ONE == Self::FIXED_ONE && self.0 & !Self::ALLOWED == 0
    }
}

impl fmt::Display for Xfam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// The body of a quote: what the TDX module says about the trust domain and itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdReport {
    /// Security versions of the module and its loader when the TD was launched.
    pub tee_tcb_svn: [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: Measurement,
    /// Signer of the TDX module; zero is Intel.
    pub mr_signer_seam: Measurement,
    /// Attributes of the TDX module.
    pub seam_attributes: u64,
    /// Attributes of the TD.
    pub attributes: TdAttributes,
    /// Extended features of the TD.
    pub xfam: Xfam,
    /// Launch measurement.
    pub mr_td: Measurement,
    /// What the host put in at launch.
    pub mr_config_id: Measurement,
    /// Owner the host named at launch.
    pub mr_owner: Measurement,
    /// Owner's configuration the host named at launch.
    pub mr_owner_config: Measurement,
    /// Run-time measurement registers 0 to 3.
    pub rtmr: [Measurement; 4],
    /// What the guest asked to be signed.
    pub report_data: ReportData,
    /// Security versions of the running module; TDX 1.5 bodies only.
    pub tee_tcb_svn2: Option<[u8; 16]>,
    /// Measurement of bound service TDs; TDX 1.5 bodies only, zero when there is none.
    pub mr_service_td: Option<Measurement>,
}

/// What the PCK certificate says about the platform (its Intel SGX extension).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PckIdentity {
    /// Platform provisioning id.
    pub ppid: [u8; 16],
    /// Security versions of the 16 SGX components.
    pub cpu_svn: [u8; 16],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// Id of the provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Platform family.
    pub fmspc: Fmspc,
    /// Platform instance id; multi-package platforms only.
    pub platform_instance_id: Option<[u8; 16]>,
    /// Whether simultaneous multithreading is on; multi-package platforms only.
    pub smt_enabled: Option<bool>,
}

/// Authenticated TDX evidence with what its collateral says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxClaims {
    /// Quote format: 4 or 5.
    pub quote_version: u16,
    /// Security version of the quoting enclave.
    pub qe_isv_svn: u16,
    /// What the quoting enclave wrote into the header: the platform's QE id.
    pub user_data: [u8; 20],
    /// The quote's body.
    pub report: TdReport,
    /// The platform.
    pub pck: PckIdentity,
    /// Verdict over platform, TDX module and quoting enclave, the worst of all.
    pub tcb_status: TcbStatus,
    /// Intel's advisories that apply to the matched levels, sorted.
    pub advisories: Vec<String>,
    /// Whether the collateral knows the TDX module, its signer and attributes; else what is wrong with it.
    pub module: Result<(), &'static str>,
    /// The lower evaluation data number of TCB info and QE identity.
    pub evaluation_number: u32,
    /// The earlier issue date of TCB info and QE identity.
    pub collateral_issued: UnixTime,
    /// What follows the quote in its buffer.
    pub padding: Padding,
    /// The event log, if one came: it replays to the quote's registers. Empty when there was none.
    pub events: Vec<LogEvent>,
}

/// One extension of one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Which register: 0 to 3.
    pub register: u8,
    /// Type, as the log's format numbers it.
    pub kind: u32,
    /// Name; firmware logs have none.
    pub name: String,
    /// What was measured.
    pub payload: Vec<u8>,
    /// What was extended.
    pub digest: [u8; 48],
    /// Whether the digest is the one of kind, name and payload.
    pub recomputed: bool,
}

/// What follows the quote in its buffer. No signature covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Something else than zeros.
    Garbage,
    /// This many zero bytes.
    Zeros(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_groups_do_not_overlap() {
        assert_eq!(TdAttributes(1 << 28).others(), 0);
        assert_eq!(TdAttributes(1 << 27).others(), 1 << 27);
        assert_eq!(TdAttributes(0x41).under_debug(), 0x41);
        for bit in 0..64 {
            let attributes = TdAttributes(1 << bit);
            let known = [28, 29, 30, 31, 63].contains(&bit) || bit < 8;
            assert_eq!(attributes.others() == 0, known, "bit {bit}");
        }
    }

    #[test]
    fn xfam_has_fixed_bits() {
        assert!(Xfam(0x0006_02e7).well_formed());
        for wrong in [0x0006_02e6, 0x0006_02e5, 0x0006_02ef, 1 << 40 | 0x3] {
            assert!(!Xfam(wrong).well_formed(), "{wrong:#x}");
        }
    }
}
