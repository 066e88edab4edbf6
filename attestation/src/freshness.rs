//! Whether evidence was made for this caller, now: kind, nonce, session and the keyset's window.

use crate::checklist::{Checklist, Step};
use crate::digest::{Nonce, Sha256, UnixTime};
use crate::enclave_claims::{EnclaveClaims, Kind, Role};
use crate::keyset::Keyset;
use crate::rejection::{Code, Rejection};
use std::time::Duration;

/// How far ahead a keyset may end.
pub const MAX_KEYSET_AHEAD: Duration = Duration::from_hours(2);

/// How far ahead of the caller's clock a beacon round may be.
pub const MAX_ROUND_AHEAD: Duration = Duration::from_mins(1);

const KEYSET_END: Step = Step::new("keyset_not_after", Code::AttKeysetExpired, "keyset.not_after");
const NONCE: Step = Step::new("nonce", Code::AttNonce, "claims.nonce");
const SESSION: Step = Step::new("session", Code::BindSession, "claims.session");
const BEACON: Step = Step::new("beacon", Code::AttNonce, "claims.beacon");
const AGE: Step = Step::new("evidence_age", Code::AttStale, "claims.beacon");
const KIND: Step = Step::new("kind", Code::AttRole, "claims.kind");

/// A public randomness beacon whose rounds come at fixed times (drand's scheme).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconChain {
    /// Hash naming the chain.
    pub hash: Sha256,
    /// When its first round was published.
    pub genesis: UnixTime,
    /// Seconds from one round to the next; at least 1.
    pub period: std::num::NonZeroU32,
}

impl BeaconChain {
    /// When a round is published; round 1 at genesis.
    pub fn published_at(&self, round: u64) -> UnixTime {
        let periods = round.saturating_sub(1).saturating_mul(u64::from(self.period.get()));
        self.genesis.plus(Duration::from_secs(periods))
    }
}

/// One round of a beacon, whose signature the caller has verified under the chain's public key: nobody knew it before
/// its time, so whoever names it made the claims after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRound {
    /// The chain.
    pub chain: BeaconChain,
    /// Round number.
    pub round: u64,
    /// SHA-256 of the round's signature.
    pub signature_sha256: Sha256,
}

/// What the caller asked the enclave for. Nothing in it is optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Public evidence, made on the enclave's own schedule after this round, which the caller looked up by the number
    /// in the claims and verified.
    Epoch {
        /// The role asked for.
        role: Role,
        /// The round.
        round: VerifiedRound,
    },
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
            Self::Challenge { role, .. } | Self::Epoch { role, .. } | Self::Session { role, .. } => *role,
        }
    }
}

/// The checks of this file that an expectation calls for.
pub(crate) const fn steps(expected: &Expected) -> &'static [Step] {
    match expected {
        Expected::Challenge { .. } => &[KIND, KEYSET_END, NONCE],
        Expected::Epoch { .. } => &[KIND, KEYSET_END, BEACON, AGE],
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
        Expected::Epoch { .. } => ("epoch", matches!(claims.kind, Kind::Epoch { .. })),
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

/// The time nearest to `now` at which the keyset would be current.
pub(crate) fn nearest(keyset: &Keyset, now: UnixTime) -> UnixTime {
    let ahead = MAX_KEYSET_AHEAD.as_secs();
    let first = UnixTime::from_seconds(keyset.not_after.seconds().saturating_sub(ahead));
    now.clamp(first, keyset.not_after.max(first))
}

/// The nonce is ours and, for session evidence, so is the connection.
pub(crate) fn nonce(
    claims: &EnclaveClaims,
    expected: &Expected,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let (wanted, ekm) = match expected {
        // judged by its beacon
        Expected::Epoch { .. } => return Ok(()),
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

/// The beacon of public evidence is the round the caller verified, and not too old. Says since when the evidence counts:
/// its round's time, or now for evidence made for the caller's nonce.
pub(crate) fn beacon(
    claims: &EnclaveClaims,
    expected: &Expected,
    most: Duration,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<UnixTime, Rejection> {
    let Expected::Epoch { round: VerifiedRound { chain, round, signature_sha256 }, .. } = expected else {
        return Ok(now);
    };
    let spell =
        |round: u64, signature: &Sha256| format!("round {round} with signature {}", signature.to_hex());
    let (same, found) = match &claims.kind {
        Kind::Epoch { beacon } => (
            beacon.chain == chain.hash
                && beacon.round == *round
                && beacon.signature_sha256 == *signature_sha256,
            spell(beacon.round, &beacon.signature_sha256),
        ),
        Kind::Challenge { .. } | Kind::Session { .. } => (false, "no beacon".to_owned()),
    };
    list.holds(BEACON, same, spell(*round, signature_sha256), found)?;
    let published = chain.published_at(*round);
    let fresh = published <= now.plus(MAX_ROUND_AHEAD) && now <= published.plus(most);
    let expected = format!("a round of the {} seconds before {now}", most.as_secs());
    list.holds(AGE, fresh, expected, format!("one of {published}"))?;
    Ok(published)
}
