//! How one record is sealed: AES-256-GCM-SIV (RFC 8452) under a key of its own, with its place and version as
//! associated data, so that a sealed record opens only where and as what it was written.
//!
//! The nonce is not random: it is a keyed hash of place, version and plaintext. Two different texts never meet under one
//! nonce, whatever a virtual machine's snapshot does to random generators; writing the same text twice as the same
//! version gives the same bytes, which tells a store only that.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

use crate::error::StateError;
use crate::root_key::{RootKey, expand};
use crate::table::{RecordId, Table};

/// Version of the sealed form.
pub const FORMAT: u8 = 1;

/// Sealed records are padded to a multiple of this, so that their length says little.
const PAD: usize = 64;
/// Format, epoch, nonce.
const HEADER: usize = 17;
const TAG: usize = 16;

/// Where a record lives, as a backend sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Which table.
    pub table: Table,
    /// HMAC-SHA-256 of table and id.
    pub hash: [u8; 32],
}

/// What was sealed: a record, or the mark that there is none any more.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The record's id.
    pub id: RecordId,
    /// Its value; nothing if it was deleted.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

/// The keys of one store.
pub struct Sealer {
    store: [u8; 16],
    ids: hmac::Key,
    epoch: u32,
    keys: BTreeMap<u32, Zeroizing<[u8; 48]>>,
}

impl Sealer {
    /// For the store of this id. Seals in `epoch` and opens what was sealed in it or in the one before.
    pub fn new(root: &RootKey, store: [u8; 16], epoch: u32) -> Self {
        let keys = [epoch.saturating_sub(1), epoch].map(|epoch| (epoch, root.store(&store, epoch)));
        Self { store, ids: hmac::Key::new(HMAC_SHA256, &root.ids(&store)[..]), epoch, keys: keys.into() }
    }

    /// The epoch in which records are sealed now.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Where the record of this id lives.
    pub fn address(&self, table: Table, id: &RecordId) -> Address {
        let mut context = hmac::Context::with_key(&self.ids);
        context.update(&[table.number()]);
        context.update(id.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        Address { table, hash }
    }

    /// Seals `value` (nothing: the mark of a deletion) as `version` of the record.
    ///
    /// # Errors
    /// [`StateError::TooLarge`] if the lengths do not fit.
    pub fn seal(
        &self,
        at: &Address,
        version: u64,
        id: &RecordId,
        value: Option<&[u8]>,
    ) -> Result<Vec<u8>, StateError> {
        let plain = pack(id, value)?;
        let (key, nonces) = self.keys_of(at, self.epoch)?;
        let nonce = nonce(&nonces, version, &plain);
        let mut sealed = Vec::with_capacity(HEADER.saturating_add(plain.len()).saturating_add(TAG));
        sealed.push(FORMAT);
        sealed.extend(self.epoch.to_be_bytes());
        sealed.extend(nonce);
        let mut body = plain;
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.bound(at, self.epoch, version)),
                &mut body,
            )
            .map_err(|_| StateError::TooLarge)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what a backend calls `version` of the record at this address.
    ///
    /// # Errors
    /// [`StateError::Format`], [`StateError::Epoch`], [`StateError::Damaged`].
    pub fn open(&self, at: &Address, version: u64, sealed: &[u8]) -> Result<Opened, StateError> {
        let (header, body) = sealed.split_first_chunk::<HEADER>().ok_or(StateError::Damaged)?;
        let [format, epoch @ .., _, _, _, _, _, _, _, _, _, _, _, _] = header;
        if *format != FORMAT {
            return Err(StateError::Format);
        }
        let epoch = u32::from_be_bytes(*epoch);
        let nonce = header.last_chunk::<12>().ok_or(StateError::Damaged)?;
        let (key, _) = self.keys_of(at, epoch)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let aad = Aad::from(self.bound(at, epoch, version));
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain)
            .map_err(|_| StateError::Damaged)?;
        let opened = unpack(opened)?;
        if self.address(at.table, &opened.id) != *at {
            return Err(StateError::Damaged);
        }
        Ok(opened)
    }

    /// The epoch that a sealed record says it is of.
    pub fn epoch_of(sealed: &[u8]) -> Option<u32> {
        sealed.get(1..5)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The record's own keys: to seal, and for nonces.
    fn keys_of(&self, at: &Address, epoch: u32) -> Result<(LessSafeKey, hmac::Key), StateError> {
        let store = self.keys.get(&epoch).ok_or(StateError::Epoch)?;
        let mut own = Zeroizing::new([0_u8; 32]);
        expand(&store[..], &[b"record", &[at.table.number()], &at.hash], &mut own[..]);
        let key = UnboundKey::new(&AES_256_GCM_SIV, &own[..]).map_err(|_| StateError::Damaged)?;
        expand(&store[..], &[b"nonces", &[at.table.number()], &at.hash], &mut own[..]);
        Ok((LessSafeKey::new(key), hmac::Key::new(HMAC_SHA256, &own[..])))
    }

    /// The associated data. Every part has one length.
    fn bound(&self, at: &Address, epoch: u32, version: u64) -> [u8; 62] {
        let mut out = [0; 62];
        let parts: [&[u8]; 6] = [
            &[FORMAT],
            &self.store,
            &[at.table.number()],
            &at.hash,
            &epoch.to_be_bytes(),
            &version.to_be_bytes(),
        ];
        for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        out
    }
}

fn nonce(key: &hmac::Key, version: u64, plain: &[u8]) -> [u8; 12] {
    let mut context = hmac::Context::with_key(key);
    context.update(&version.to_be_bytes());
    context.update(plain);
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    nonce
}

/// Length of the id, id, whether there is a value, its length, the value, zeros.
fn pack(id: &RecordId, value: Option<&[u8]>) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let bytes = value.unwrap_or_default();
    let id_length = u8::try_from(id.as_bytes().len()).map_err(|_| StateError::Id)?;
    let length = u32::try_from(bytes.len()).map_err(|_| StateError::TooLarge)?;
    let full = id.as_bytes().len().saturating_add(bytes.len()).saturating_add(6).next_multiple_of(PAD);
    let mut plain = Zeroizing::new(Vec::with_capacity(full.saturating_add(TAG)));
    plain.push(id_length);
    plain.extend_from_slice(id.as_bytes());
    plain.push(u8::from(value.is_some()));
    plain.extend_from_slice(&length.to_be_bytes());
    plain.extend_from_slice(bytes);
    plain.resize(full, 0);
    Ok(plain)
}

fn unpack(plain: &[u8]) -> Result<Opened, StateError> {
    let damaged = StateError::Damaged;
    let (id_length, rest) = plain.split_first().ok_or(damaged)?;
    let (id, rest) = rest.split_at_checked(usize::from(*id_length)).ok_or(damaged)?;
    let (live, rest) = rest.split_first().ok_or(damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(damaged)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| damaged)?;
    let (value, zeros) = rest.split_at_checked(length).ok_or(damaged)?;
    if *live > 1 || (*live == 0 && length > 0) || zeros.len() >= PAD || zeros.iter().any(|byte| *byte != 0) {
        return Err(damaged);
    }
    let value = (*live == 1).then(|| Zeroizing::new(value.to_vec()));
    Ok(Opened { id: RecordId::new(id).map_err(|_| damaged)?, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RecordId {
        RecordId::new(text).unwrap()
    }

    fn sealer() -> Sealer {
        Sealer::new(&RootKey::new([9; 32]), [3; 16], 5)
    }

    #[test]
    fn a_record_opens_where_and_as_what_it_was_sealed_and_nowhere_else() {
        let own = sealer();
        let at = own.address(Table::Budgets, &id("team-1"));
        let sealed = own.seal(&at, 7, &id("team-1"), Some(b"a budget")).unwrap();
        let opened = own.open(&at, 7, &sealed).unwrap();
        assert_eq!(opened.value.unwrap()[..], b"a budget"[..]);
        assert_eq!(opened.id, id("team-1"));

        let elsewhere = [
            (own.address(Table::Teams, &id("team-1")), 7),
            (own.address(Table::Budgets, &id("team-2")), 7),
            (at, 8),
            (at, 6),
        ];
        for (place, version) in elsewhere {
            assert!(matches!(own.open(&place, version, &sealed), Err(StateError::Damaged)));
        }
        let other_store = Sealer::new(&RootKey::new([9; 32]), [4; 16], 5);
        let other_root = Sealer::new(&RootKey::new([8; 32]), [3; 16], 5);
        assert!(other_store.open(&at, 7, &sealed).is_err());
        assert!(other_root.open(&at, 7, &sealed).is_err());
    }

    #[test]
    fn no_bit_may_change() {
        let own = sealer();
        let at = own.address(Table::Leases, &id("x"));
        let sealed = own.seal(&at, 1, &id("x"), Some(&[1; 40])).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(own.open(&at, 1, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(own.open(&at, 1, &sealed[..length]).is_err());
        }
    }

    #[test]
    fn the_epoch_before_opens_and_no_older_one() {
        let root = RootKey::new([9; 32]);
        let at = sealer().address(Table::Teams, &id("x"));
        let old = Sealer::new(&root, [3; 16], 5).seal(&at, 1, &id("x"), Some(b"v")).unwrap();
        assert_eq!(Sealer::epoch_of(&old), Some(5));
        assert!(Sealer::new(&root, [3; 16], 6).open(&at, 1, &old).is_ok());
        assert!(matches!(Sealer::new(&root, [3; 16], 7).open(&at, 1, &old), Err(StateError::Epoch)));
        assert!(matches!(Sealer::new(&root, [3; 16], 4).open(&at, 1, &old), Err(StateError::Epoch)));
    }

    #[test]
    fn length_and_content_do_not_show() {
        let own = sealer();
        let at = own.address(Table::Teams, &id("x"));
        let one = own.seal(&at, 1, &id("x"), Some(b"CANARY-IN-A-RECORD")).unwrap();
        let other = own.seal(&at, 1, &id("x"), None).unwrap();
        assert_eq!(one.len(), other.len());
        assert!(!one.windows(6).any(|part| part == b"CANARY"));
        assert_ne!(one[5..17], other[5..17], "nonces of different texts");
    }
}
