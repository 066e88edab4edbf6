//! Digests, and registers that are extended with them.

use std::fmt;

use ring::digest;

/// A hash function of firmware, hypervisors and TPMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
}

impl Algorithm {
    /// The hash of `parts` one after the other.
    pub fn hash(self, parts: &[&[u8]]) -> Digest {
        let mut hasher = Hasher::new(self);
        for part in parts {
            hasher.update(part);
        }
        hasher.finish()
    }

    /// Name in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
        }
    }

    /// A register as it is at power-on.
    pub fn zero(self) -> Digest {
        Digest {
            algorithm: self,
            bytes: vec![
                0;
                match self {
                    Self::Sha256 => 32,
                    Self::Sha384 => 48,
                }
            ],
        }
    }
}

/// A hash that is fed piece by piece.
pub(crate) struct Hasher {
    algorithm: Algorithm,
    context: digest::Context,
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let context = digest::Context::new(match algorithm {
            Algorithm::Sha256 => &digest::SHA256,
            Algorithm::Sha384 => &digest::SHA384,
        });
        Self { algorithm, context }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest { algorithm: self.algorithm, bytes: self.context.finish().as_ref().to_vec() }
    }
}

/// A hash value, or the value of a register.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Digest {
    /// Its bytes, in the order in which they are printed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
        self.bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    /// The register after `event` was measured into it: the hash of both.
    #[must_use]
    pub(crate) fn extended(&self, event: &Self) -> Self {
        self.algorithm.hash(&[&self.bytes, &event.bytes])
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.algorithm.as_str(), self.to_hex())
    }
}

/// A register that was zero and then saw these events.
pub(crate) fn register(algorithm: Algorithm, events: &[Digest]) -> Digest {
    events.iter().fold(algorithm.zero(), |register, event| register.extended(event))
}
