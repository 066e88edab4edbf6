//! What the shell learns. Never 0 when undecided.

use std::process::ExitCode;

use postern_client::Outcome;

/// The code of what was decided.
pub(crate) fn of(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Rejected => ExitCode::from(1),
        Outcome::Usage => usage(),
        Outcome::Undecided => undecided(),
    }
}

/// Nobody can tell: the network, missing endorsements, an answer that broke off.
pub(crate) fn undecided() -> ExitCode {
    ExitCode::from(3)
}

/// `postern appraise` rejected the evidence.
pub(crate) fn rejected_offline() -> ExitCode {
    ExitCode::from(10)
}

/// `postern appraise` could not understand the request.
pub(crate) fn malformed() -> ExitCode {
    ExitCode::from(30)
}

/// A fault of this program or its machine, in `postern appraise`.
pub(crate) fn internal() -> ExitCode {
    ExitCode::from(1)
}

/// The command or a local file is at fault.
pub(crate) fn usage() -> ExitCode {
    ExitCode::from(2)
}

/// Verified, and all that was asked for is done.
pub(crate) fn verified() -> ExitCode {
    ExitCode::SUCCESS
}
