//! A file as a whole: one sealed head says how many rows it has, and which. A row that is missing, added, or from another
//! time does not fit the head; the file as it was at one moment always does, which is why going back as a whole is left to
//! the log and to whoever remembers its head.
//!
//! "Which" is the exclusive-or of a keyed hash of each row. Such sums can be forged by who sees enough of them; nobody
//! does, since head and hashes never leave this process but sealed.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::error::StateError;
use crate::root_key::{RootKey, expand};
use crate::seal::{Address, FORMAT};

/// Bytes of a sealed head.
const SEALED: usize = 8 + 48 + 16;

/// The keys of a whole.
pub(crate) struct WholeKeys {
    rows: hmac::Key,
    head: LessSafeKey,
    store: [u8; 16],
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many transactions there were.
    pub(crate) generation: u64,
    /// How many rows there are.
    pub(crate) count: u64,
    sum: [u8; 32],
}

impl Head {
    /// A row comes or goes.
    pub(crate) fn toggle(&mut self, row: &[u8; 32]) {
        for (to, from) in self.sum.iter_mut().zip(row) {
            *to ^= from;
        }
    }

    /// The same rows, whatever the generation.
    pub(crate) fn same_rows(&self, other: &Self) -> bool {
        self.count == other.count && self.sum == other.sum
    }
}

impl WholeKeys {
    /// The keys for the store of this id.
    ///
    /// # Errors
    /// [`StateError::Key`] if the library refuses a key of 32 bytes, which it does not.
    pub(crate) fn new(root: &RootKey, store: [u8; 16]) -> Result<Self, StateError> {
        let whole = root.whole(&store);
        let mut key = Zeroizing::new([0_u8; 32]);
        expand(&whole[..], &[b"rows"], &mut key[..]);
        let rows = hmac::Key::new(HMAC_SHA256, &key[..]);
        expand(&whole[..], &[b"head"], &mut key[..]);
        let head = UnboundKey::new(&AES_256_GCM_SIV, &key[..]).map_err(|_| StateError::Key)?;
        Ok(Self { rows, head: LessSafeKey::new(head), store })
    }

    /// The keyed hash of one row.
    pub(crate) fn row(&self, at: &Address, version: u64, position: u64, sealed: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.rows);
        context.update(&[at.table.number()]);
        context.update(&at.hash);
        context.update(&version.to_be_bytes());
        context.update(&position.to_be_bytes());
        context.update(sealed);
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    /// Seals a head. No two heads of a generation differ, unless the file went back; GCM-SIV bears that.
    pub(crate) fn seal(&self, head: &Head) -> Result<Vec<u8>, StateError> {
        let mut body = Zeroizing::new(Vec::with_capacity(48));
        body.extend_from_slice(&head.generation.to_be_bytes());
        body.extend_from_slice(&head.count.to_be_bytes());
        body.extend_from_slice(&head.sum);
        let tag = self
            .head
            .seal_in_place_separate_tag(nonce(head.generation), self.bound(), &mut body)
            .map_err(|_| StateError::TooLarge)?;
        let mut sealed = Vec::with_capacity(SEALED);
        sealed.extend_from_slice(&head.generation.to_be_bytes());
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens a head.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Head, StateError> {
        if sealed.len() != SEALED {
            return Err(StateError::Damaged);
        }
        let (generation, body) = sealed.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let generation = u64::from_be_bytes(*generation);
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self
            .head
            .open_in_place(nonce(generation), self.bound(), &mut body)
            .map_err(|_| StateError::Key)?;
        let (inner, rest) = plain.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let (count, sum) = rest.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        if u64::from_be_bytes(*inner) != generation {
            return Err(StateError::Damaged);
        }
        let sum = sum.try_into().map_err(|_| StateError::Damaged)?;
        Ok(Head { generation, count: u64::from_be_bytes(*count), sum })
    }

    fn bound(&self) -> Aad<[u8; 17]> {
        let mut aad = [FORMAT; 17];
        for (to, from) in aad.iter_mut().zip(&self.store) {
            *to = *from;
        }
        Aad::from(aad)
    }
}

fn nonce(generation: u64) -> Nonce {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().zip(generation.to_be_bytes()) {
        *to = from;
    }
    Nonce::assume_unique_for_key(nonce)
}
