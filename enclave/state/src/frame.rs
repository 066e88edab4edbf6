//! Sealed frames of a file that only grows: each opens as the frame of its kind and number in its file, and as no other.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::error::StateError;
use crate::root_key::RootKey;

/// Bytes that a sealed frame is longer than what is in it.
pub const OVERHEAD: usize = 12 + 16;

/// The keys of one such file.
pub struct FrameSealer {
    frames: LessSafeKey,
    nonces: hmac::Key,
}

impl FrameSealer {
    /// For the file of this name.
    ///
    /// # Errors
    /// [`StateError::Key`] if the library refuses a key of 32 bytes, which it does not.
    pub fn new(root: &RootKey, name: &str) -> Result<Self, StateError> {
        let key = root.derive(&label(b"frames of ", name));
        let frames = UnboundKey::new(&AES_256_GCM_SIV, &key[..]).map_err(|_| StateError::Key)?;
        let nonces = hmac::Key::new(HMAC_SHA256, &root.derive(&label(b"nonces of ", name))[..]);
        Ok(Self { frames: LessSafeKey::new(frames), nonces })
    }

    /// Seals a frame.
    ///
    /// # Errors
    /// [`StateError::TooLarge`] beyond what the cipher takes.
    pub fn seal(&self, kind: u8, number: u64, plain: &[u8]) -> Result<Vec<u8>, StateError> {
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&bound(kind, number));
        context.update(plain);
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .frames
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(kind, number)),
                &mut body,
            )
            .map_err(|_| StateError::TooLarge)?;
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a frame.
    ///
    /// # Errors
    /// [`StateError::Damaged`].
    pub fn open(&self, kind: u8, number: u64, sealed: &[u8]) -> Result<Vec<u8>, StateError> {
        let (nonce, body) = sealed.split_first_chunk::<12>().ok_or(StateError::Damaged)?;
        let mut body = body.to_vec();
        let length = self
            .frames
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound(kind, number)), &mut body)
            .map_err(|_| StateError::Damaged)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

fn bound(kind: u8, number: u64) -> [u8; 9] {
    let mut out = [kind; 9];
    for (to, from) in out.iter_mut().skip(1).zip(number.to_be_bytes()) {
        *to = from;
    }
    out
}

/// The label as bytes; long names are told apart by their hash.
fn label(prefix: &[u8], name: &str) -> Vec<u8> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    [prefix, hash.as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_opens_in_its_place_only() {
        let root = RootKey::new([1; 32]);
        let own = FrameSealer::new(&root, "a").unwrap();
        let sealed = own.seal(1, 7, b"CANARY").unwrap();
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(own.open(1, 7, &sealed).unwrap(), b"CANARY");
        for (kind, number) in [(2, 7), (1, 8)] {
            assert_eq!(own.open(kind, number, &sealed), Err(StateError::Damaged));
        }
        assert!(FrameSealer::new(&root, "b").unwrap().open(1, 7, &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(own.open(1, 7, &changed).is_err());
        }
        assert_ne!(own.seal(1, 7, b"canary").unwrap()[..12], sealed[..12]);
    }
}
