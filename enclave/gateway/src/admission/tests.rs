use super::key_file::{KeyTable, Scheme};
use super::*;
use crate::plaintext::Secret;

fn digest(credential: &str) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, credential.as_bytes()).as_ref().try_into().expect("32 bytes")
}

fn key(id: &str) -> Arc<Key> {
    Arc::new(Key::new(id.into(), AllowedModels::Every, None))
}

#[test]
fn finds_each_of_many_keys_and_no_other() {
    let mut table = KeyTable::new(None);
    for number in 0..1000 {
        let fresh = table.insert(Scheme::Sha256, digest(&format!("sk-{number}")), key(&number.to_string()));
        assert!(fresh);
    }
    assert!(!table.insert(Scheme::Sha256, digest("sk-5"), key("again")));
    assert_eq!(table.len(), 1000);
    for number in 0..1000 {
        let found = table.find(format!("sk-{number}").as_bytes()).expect("known");
        assert_eq!(*found.id, *number.to_string());
    }
    assert!(table.find(b"sk-1000").is_none());
    assert!(table.find(b"").is_none());
}

#[test]
fn a_digest_that_shares_a_prefix_is_not_enough() {
    let mut near = digest("sk-a");
    near[31] ^= 1;
    let mut table = KeyTable::new(None);
    table.insert(Scheme::Sha256, near, key("near"));
    assert!(table.find(b"sk-a").is_none());
    table.insert(Scheme::Sha256, digest("sk-a"), key("right"));
    assert_eq!(&*table.find(b"sk-a").expect("known").id, "right");
}

#[test]
fn a_peppered_key_needs_its_pepper() {
    let pepper = |text: &str| Secret::new(text.as_bytes().to_vec());
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"pepper"), b"sk-a");
    let tag: [u8; 32] = tag.as_ref().try_into().expect("32 bytes");
    for (given, found) in [(Some("pepper"), true), (Some("salt"), false), (None, false)] {
        let mut table = KeyTable::new(given.map(pepper).as_ref());
        table.insert(Scheme::HmacSha256, tag, key("a"));
        assert_eq!(table.find(b"sk-a").is_some(), found, "{given:?}");
    }
}

#[test]
fn a_hold_counts_and_lets_go() {
    let key = Arc::new(Key::new("a".into(), AllowedModels::Every, Some(2)));
    let first = key.hold(Reserved { reservation: None }).expect("free");
    let second = key.hold(Reserved { reservation: None }).expect("free");
    assert!(matches!(key.hold(Reserved { reservation: None }), Err(Error::TooManyInFlight)));
    assert_eq!(key.in_flight(), 2, "a refused request holds nothing");
    drop(first);
    assert!(key.hold(Reserved { reservation: None }).is_ok());
    drop(second);
    assert_eq!(key.in_flight(), 0);
}
