//! Whether evidence was made for this caller, now: kind, nonce, session and the keyset's window.

use crate::checklist::{Checklist, Step};
use crate::digest::{Nonce, UnixTime};
use crate::enclave_claims::{EnclaveClaims, Kind, Role};
use crate::keyset::Keyset;
use crate::rejection::{Code, Rejection};
use std::time::Duration;

/// How far ahead a keyset may end.
pub const MAX_KEYSET_AHEAD: Duration = Duration::from_hours(2);

const KEYSET_END: Step = Step::new("keyset_not_after", Code::AttKeysetExpired, "keyset.not_after");
const NONCE: Step = Step::new("nonce", Code::AttNonce, "claims.nonce");
const SESSION: Step = Step::new("session", Code::BindSession, "claims.session");
const KIND: Step = Step::new("kind", Code::AttRole, "claims.kind");

/// What the caller asked the enclave for. Nothing in it is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Evidence for this nonce.
    Challenge {
        /// The role asked for.
        role: Role,
        /// The caller's nonce.
        nonce: Nonce,
    },
    /// Evidence for this TLS session.
    Session {
        /// The role asked for.
        role: Role,
        /// The caller's nonce.
        nonce: Nonce,
        /// Exported keying material from the caller's own TLS stack.
        ekm: [u8; 32],
    },
}

impl Expected {
    /// The role asked for.
    pub const fn role(&self) -> Role {
        match self {
            Self::Challenge { role, .. } | Self::Session { role, .. } => *role,
        }
    }
}

/// The checks of this file that an expectation calls for.
pub(crate) const fn steps(expected: &Expected) -> &'static [Step] {
    match expected {
        Expected::Challenge { .. } => &[KIND, KEYSET_END, NONCE],
        Expected::Session { .. } => &[KIND, KEYSET_END, NONCE, SESSION],
    }
}

/// The kind of evidence is the one asked for.
pub(crate) fn kind(
    claims: &EnclaveClaims,
    expected: &Expected,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let (kind, holds) = match expected {
        Expected::Challenge { .. } => ("challenge", matches!(claims.kind, Kind::Challenge { .. })),
        Expected::Session { .. } => ("session", matches!(claims.kind, Kind::Session { .. })),
    };
    list.holds(KIND, holds, kind, claims.kind.name())
}

/// The keyset has not ended and does not end too far ahead.
pub(crate) fn keyset(keyset: &Keyset, now: UnixTime, list: &mut Checklist) -> Result<(), Rejection> {
    let last = now.plus(MAX_KEYSET_AHEAD);
    let holds = (now..=last).contains(&keyset.not_after);
    list.holds(KEYSET_END, holds, format!("{now} to {last}"), keyset.not_after.to_string())
}

/// The nonce is ours and, for session evidence, so is the connection.
pub(crate) fn nonce(
    claims: &EnclaveClaims,
    expected: &Expected,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let (wanted, ekm) = match expected {
        Expected::Challenge { nonce, .. } => (nonce, None),
        Expected::Session { nonce, ekm, .. } => (nonce, Some(ekm)),
    };
    let (nonce, session) = match &claims.kind {
        Kind::Epoch { .. } => (None, None),
        Kind::Challenge { nonce } => (Some(nonce), None),
        Kind::Session { nonce, session } => (Some(nonce), Some(session)),
    };
    let found = nonce.map_or_else(|| "none".to_owned(), Nonce::to_hex);
    list.holds(NONCE, nonce == Some(wanted), wanted.to_hex(), found)?;
    match ekm {
        None => Ok(()),
        Some(ekm) => list.holds(SESSION, session == Some(ekm), "this connection", "another connection"),
    }
}
