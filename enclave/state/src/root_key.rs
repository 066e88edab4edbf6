//! The root sealing key and the keys that follow from it.
//!
//! `root -> HKDF-SHA-384 -> per store (and epoch) -> per record`. This crate never makes a root key: it comes from an
//! operator's ceremony, a release by another enclave, or a file in a demonstration, and may have the processor's own
//! derived key mixed in ([`RootKey::bound_to_chip`]).

use aws_lc_rs::hmac::{self, HMAC_SHA384};
use zeroize::Zeroizing;

/// The root sealing key: whoever has it can open every record of every store sealed under it. Wiped when dropped.
pub struct RootKey(Zeroizing<[u8; 32]>);

impl RootKey {
    /// From 32 random bytes, as an operator's ceremony, a key release or a file gives them.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The same key bound to one processor: `derived` is what the processor derives for this measurement, policy and
    /// guest (SEV-SNP firmware ABI, `MSG_KEY_REQ`). What is sealed under it opens nowhere else.
    #[must_use]
    pub fn bound_to_chip(&self, derived: &[u8; 32]) -> Self {
        let mut material = Zeroizing::new([0_u8; 64]);
        let (first, second) = material.split_at_mut(32);
        first.copy_from_slice(&self.0[..]);
        second.copy_from_slice(derived);
        let mut bound = [0; 32];
        derive(&material[..], b"postern/1 root bound to chip", &[], &mut bound);
        Self::new(bound)
    }

    /// A key for another purpose than sealing records, named by `label`.
    pub fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        derive(&self.0[..], b"postern/1 root", &[b"other use", label], &mut key[..]);
        key
    }

    /// The 48 bytes from which all keys of one store and epoch follow.
    pub(crate) fn store(&self, store: &[u8; 16], epoch: u32) -> Zeroizing<[u8; 48]> {
        let mut key = Zeroizing::new([0; 48]);
        derive(&self.0[..], b"postern/1 root", &[b"store", store, &epoch.to_be_bytes()], &mut key[..]);
        key
    }

    /// The key under which ids of records are hashed: the same in every epoch, so that records keep their place.
    pub(crate) fn ids(&self, store: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        derive(&self.0[..], b"postern/1 root", &[b"record ids", store], &mut key[..]);
        key
    }

    /// The key that authenticates a whole file.
    pub(crate) fn whole(&self, store: &[u8; 16]) -> Zeroizing<[u8; 48]> {
        let mut key = Zeroizing::new([0; 48]);
        derive(&self.0[..], b"postern/1 root", &[b"whole store", store], &mut key[..]);
        key
    }
}

/// HKDF-SHA-384 (RFC 5869) of at most one block, 48 bytes. Written on HMAC, because it cannot fail then.
fn derive(material: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let extracted = hmac::sign(&hmac::Key::new(HMAC_SHA384, salt), material);
    expand(extracted.as_ref(), info, out);
}

/// The expanding half, with each part of `info` (at most 255 bytes) framed by its length.
pub(crate) fn expand(key: &[u8], info: &[&[u8]], out: &mut [u8]) {
    debug_assert!(out.len() <= 48, "one block");
    let mut block = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA384, key));
    for part in info {
        block.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        block.update(part);
    }
    block.update(&[1]);
    for (to, from) in out.iter_mut().zip(block.sign().as_ref()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_its_own_key() {
        let root = RootKey::new([7; 32]);
        let chip = root.bound_to_chip(&[1; 32]);
        let mut keys = vec![
            root.store(&[0; 16], 1)[..32].to_vec(),
            root.store(&[0; 16], 2)[..32].to_vec(),
            root.store(&[1; 16], 1)[..32].to_vec(),
            root.ids(&[0; 16]).to_vec(),
            root.whole(&[0; 16])[..32].to_vec(),
            root.derive(b"a").to_vec(),
            root.derive(b"b").to_vec(),
            chip.ids(&[0; 16]).to_vec(),
            root.bound_to_chip(&[2; 32]).ids(&[0; 16]).to_vec(),
        ];
        let before = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), before);
        assert!(keys.iter().all(|key| key.iter().any(|byte| *byte != 0)));
        assert_eq!(RootKey::new([7; 32]).ids(&[0; 16])[..], root.ids(&[0; 16])[..]);
    }

    #[test]
    fn keys_follow_rfc_5869() {
        struct Length(usize);
        impl aws_lc_rs::hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let mut own = [0; 48];
        derive(b"material", b"salt", &[b"part", b"other"], &mut own);
        let salt = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA384, b"salt");
        let mut theirs = [0; 48];
        salt.extract(b"material")
            .expand(&[b"\x04part\x05other"], Length(48))
            .unwrap()
            .fill(&mut theirs)
            .unwrap();
        assert_eq!(own, theirs);
    }
}
