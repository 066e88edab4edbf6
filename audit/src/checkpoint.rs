//! What a log is at one moment, signed (C2SP `tlog-checkpoint` over `signed-note`): origin, size, root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::tree::Hash;

/// Largest text of a signed checkpoint, in bytes.
pub const MAX_BYTES: usize = 4096;
/// The signature type of Ed25519 in a signed note.
const ED25519_TYPE: u8 = 1;

/// Name of a log, size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; see [`origin`].
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// The name of the log of one replica of a deployment: `postern/HEX/REPLICA`.
pub fn origin(deployment_id: &[u8; 32], replica: &str) -> String {
    let mut out = String::from("postern/");
    for byte in deployment_id {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out.push('/');
    out.push_str(replica);
    out
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The signed note, given the signature of [`Self::text`] by the key `public`.
    pub fn with_signature(&self, public: &[u8; 32], signature: &[u8; 64]) -> String {
        let mut signed = key_id(&self.origin, public).to_vec();
        signed.extend_from_slice(signature);
        format!("{}\n\u{2014} {} {}\n", self.text(), self.origin, STANDARD.encode(signed))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let own = Self {
            origin: origin.to_owned(),
            size: size.parse().ok()?,
            root: STANDARD.decode(root).ok()?.try_into().ok()?,
        };
        (lines.next().is_none() && !origin.is_empty() && own.text() == text).then_some(own)
    }
}

/// A checkpoint with signatures that nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    text: String,
    checkpoint: Checkpoint,
    signatures: Vec<(String, [u8; 4], Vec<u8>)>,
}

impl SignedCheckpoint {
    /// Reads a signed note; nothing if it is not one, or not over a checkpoint.
    pub fn parse(note: &[u8]) -> Option<Self> {
        let note = std::str::from_utf8(note).ok().filter(|note| note.len() <= MAX_BYTES)?;
        let (text, signatures) = note.rsplit_once("\n\n")?;
        let text = format!("{text}\n");
        let checkpoint = Checkpoint::parse(&text)?;
        let mut read = Vec::new();
        for line in signatures.strip_suffix('\n')?.split('\n') {
            let (name, bytes) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let bytes = STANDARD.decode(bytes).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            read.push((name.to_owned(), *id, signature.to_vec()));
        }
        Some(Self { text, checkpoint, signatures: read })
    }

    /// What it says, before anybody has checked who says so.
    pub const fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What it says, if the key `public` has signed it.
    pub fn verify(&self, public: &[u8; 32]) -> Option<&Checkpoint> {
        let id = key_id(&self.checkpoint.origin, public);
        let key = UnparsedPublicKey::new(&ED25519, public);
        self.signatures
            .iter()
            .filter(|(name, own, _)| *name == self.checkpoint.origin && *own == id)
            .any(|(_, _, signature)| key.verify(self.text.as_bytes(), signature).is_ok())
            .then_some(&self.checkpoint)
    }
}

/// The first four bytes of SHA-256 over name, line feed, type and key.
fn key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', ED25519_TYPE]);
    bytes.extend_from_slice(public);
    let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let mut id = [0; 4];
    for (to, from) in id.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn signed(seed: u8) -> (String, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let checkpoint = Checkpoint { origin: origin(&[0xab; 32], "a"), size: 7, root: [5; 32] };
        let signature = pair.sign(checkpoint.text().as_bytes());
        (checkpoint.with_signature(&public, signature.as_ref().try_into().unwrap()), public)
    }

    #[test]
    fn a_note_is_believed_from_its_key_only() {
        let (note, public) = signed(1);
        let read = SignedCheckpoint::parse(note.as_bytes()).unwrap();
        assert_eq!(read.verify(&public).map(|checkpoint| checkpoint.size), Some(7));
        assert_eq!(read.verify(&signed(2).1), None);
        assert!(
            read.unverified().origin.ends_with("/a") && read.unverified().origin.starts_with("postern/abab")
        );
    }

    #[test]
    fn no_byte_of_a_note_may_change() {
        let (note, public) = signed(1);
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            let believed = SignedCheckpoint::parse(&bytes).is_some_and(|read| read.verify(&public).is_some());
            assert!(!believed, "byte {at}");
        }
        for bad in [
            "",
            "\n\n",
            "a\n7\nx\n\n",
            "a\n07\nBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n\n\u{2014} a BQUFBQUF\n",
        ] {
            assert_eq!(SignedCheckpoint::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
