//! Under what things are stored: digests under a key of this process, so that nobody who sees one can try what it is of.

use ring::hmac;

/// Whose entries are looked at together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition(pub [u8; 32]);

/// What one answer is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// A name for it that a client may see: 16 hexadecimal digits.
    pub fn name(&self) -> String {
        let first = self.0.first_chunk::<8>().copied().unwrap_or_default();
        format!("{:016x}", u64::from_be_bytes(first))
    }
}

/// A digest of parts, of which none can be taken for a piece of another.
pub(super) struct Digest(hmac::Context);

impl Digest {
    /// Begins; `purpose` keeps digests of different things apart.
    pub(super) fn new(secret: &hmac::Key, purpose: &str) -> Self {
        let mut digest = Self(hmac::Context::with_key(secret));
        digest.add(b"postern cache 1");
        digest.add(purpose.as_bytes());
        digest
    }

    /// Adds a part.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.count(part.len());
        self.0.update(part);
    }

    /// Adds how many parts follow.
    pub(super) fn count(&mut self, parts: usize) {
        self.0.update(&u64::try_from(parts).unwrap_or(u64::MAX).to_be_bytes());
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.sign().as_ref().try_into().unwrap_or_default()
    }
}
