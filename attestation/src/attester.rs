//! Ways to obtain evidence from the hardware this program runs on. Used only by the enclave; verifiers need none.

use crate::digest::ReportData;
use crate::evidence::TeeType;
use std::fmt;

pub mod azure_vtpm;
pub mod configfs_tsm;
#[cfg(unix)]
pub mod socket;
pub mod tpm;

/// What the hardware returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Raw report or quote.
    pub bytes: Vec<u8>,
    /// Certificate table that came with it; may be empty.
    pub auxiliary: Vec<u8>,
}

/// A source of evidence. Its only input is report data, which the caller computes from its own claims.
pub trait Attester: Send + Sync {
    /// The kind of evidence it returns.
    fn tee(&self) -> TeeType;

    /// Asks the hardware to sign `report_data`. Blocks, up to the source's own deadline.
    ///
    /// # Errors
    /// Whatever kept the hardware from answering.
    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError>;
}

/// Why there is no quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttesterError {
    /// Another request is in progress; try again.
    Busy,
    /// The operating system refused.
    Io {
        /// What was being done.
        doing: &'static str,
        /// How it failed.
        kind: std::io::ErrorKind,
    },
    /// The answer is not what the interface promises.
    Malformed(&'static str),
    /// The hardware answered with a refusal.
    Refused,
    /// The TPM answered with a refusal.
    Tpm {
        /// What was being done.
        doing: &'static str,
        /// Its response code (`TPM_RC`).
        code: u32,
    },
    /// The interface is not there.
    Unavailable(&'static str),
}

impl fmt::Display for AttesterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another report request is in progress"),
            Self::Io { doing, kind } => write!(f, "{doing}: {kind}"),
            Self::Malformed(what) => write!(f, "malformed answer: {what}"),
            Self::Refused => f.write_str("the security processor refused to sign"),
            Self::Tpm { doing, code } => write!(f, "{doing}: the TPM answered {code:#x}"),
            Self::Unavailable(what) => write!(f, "no report interface: {what}"),
        }
    }
}

impl std::error::Error for AttesterError {}

/// Longest auxiliary blob accepted from any source, in bytes.
pub const MAX_AUXILIARY_BYTES: usize = 256 * 1024;
