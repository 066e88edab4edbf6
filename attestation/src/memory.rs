//! What one appraisal leaves for the next: vendor chains, collateral and revocation lists whose every signature held.
//!
//! An entry is found again by the bytes it was made from, not by a digest of them: comparing is quicker than hashing,
//! and equal is equal. Certificates expire and lists go stale, so an entry serves only at times at which everything in
//! it was valid. What it never holds is a verdict: the signature over new evidence and every row of the policy are
//! judged anew.

use crate::digest::UnixTime;
use crate::policy::TrustAnchors;
use crate::policy::snp::RevocationRule;
use crate::rejection::Check;
use crate::x509::Window;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most entries of one platform. Each is bounded by the limits of an evidence document (256 KiB), and in practice
/// takes what its chain and collateral take: 6 KiB for SEV-SNP, 30 KiB for TDX.
const MOST_ENTRIES: usize = 32;

/// What an appraisal is of, as far as its chain is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Raw report or quote.
    pub(crate) evidence: &'a [u8],
    /// Encoded endorsements.
    pub(crate) endorsements: &'a [u8],
    /// What of the evidence itself belongs to the chain; empty for SEV-SNP.
    pub(crate) certification: &'a [u8],
    /// The roots that count.
    pub(crate) anchors: &'a TrustAnchors,
    /// How revocation is judged.
    pub(crate) revocation: &'a RevocationRule,
    /// The time, by the caller's clock.
    pub(crate) now: UnixTime,
}

/// One verified chain, with all that decided it.
pub(crate) struct Entry<T> {
    /// Endorsements as received.
    endorsements: Vec<u8>,
    /// What of the evidence itself belongs to the chain; empty for SEV-SNP.
    certification: Vec<u8>,
    anchors: TrustAnchors,
    revocation: RevocationRule,
    window: Window,
    /// The evidence that was accepted under it last: its signature need not be verified twice.
    pub(crate) evidence: Vec<u8>,
    /// The checks made of it, as they came out.
    pub(crate) checks: Vec<Check>,
    /// What was found.
    pub(crate) vouched: Arc<T>,
}

impl<T> Entry<T> {
    pub(crate) fn new(subject: &Subject<'_>, window: Window, checks: Vec<Check>, vouched: Arc<T>) -> Self {
        Self {
            endorsements: subject.endorsements.to_vec(),
            certification: subject.certification.to_vec(),
            anchors: subject.anchors.clone(),
            revocation: subject.revocation.clone(),
            window,
            evidence: subject.evidence.to_vec(),
            checks,
            vouched,
        }
    }

    fn is_of(&self, subject: &Subject<'_>) -> bool {
        self.endorsements == subject.endorsements
            && self.certification == subject.certification
            && self.anchors == *subject.anchors
            && self.revocation == *subject.revocation
    }
}

/// The entries of one platform, the last used first.
pub(crate) struct Store<T>(Mutex<Vec<Arc<Entry<T>>>>);

impl<T> Store<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The entry made from the same bytes under the same anchors, if all of it is valid at the subject's time.
    pub(crate) fn find(&self, subject: &Subject<'_>) -> Option<Arc<Entry<T>>> {
        let mut entries = self.entries();
        let at = entries.iter().position(|entry| entry.is_of(subject))?;
        let entry = entries.remove(at);
        if !entry.window.contains(subject.now) {
            return None;
        }
        entries.insert(0, Arc::clone(&entry));
        Some(entry)
    }

    /// Keeps `entry` in place of another of the same bytes; the longest unused one makes room.
    pub(crate) fn keep(&self, entry: Entry<T>) {
        let mut entries = self.entries();
        entries.retain(|other| {
            other.endorsements != entry.endorsements || other.certification != entry.certification
        });
        entries.truncate(MOST_ENTRIES.saturating_sub(1));
        entries.insert(0, Arc::new(entry));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// Ends of the entries' validity, for tests and books.
    pub(crate) fn ends(&self) -> Vec<UnixTime> {
        self.entries().iter().map(|entry| entry.window.until).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
