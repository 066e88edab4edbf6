use super::*;
use proptest::prelude::*;

fn keyset() -> Keyset {
    Keyset {
        epoch: 7,
        not_after: UnixTime::from_seconds(1_800_000_000),
        tls: vec![TlsKey { spki_sha256: Sha256::new([1; 32]), names: vec!["gateway.example".to_owned()] }],
        ohttp: None,
        sbk: [2; 32],
        rck: None,
        prv: None,
    }
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(
        epoch: u64,
        end: u64,
        keys in proptest::collection::vec((any::<[u8; 32]>(), proptest::collection::vec("[a-z.]{0,30}", 0..4)), 0..4),
        ohttp in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
        rck: Option<[u8; 32]>,
        prv in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
    ) {
        let tls = keys
            .into_iter()
            .map(|(spki, names)| TlsKey { spki_sha256: Sha256::new(spki), names })
            .collect();
        let keyset = Keyset { epoch, not_after: UnixTime::from_seconds(end), tls, ohttp, rck, prv, ..keyset() };
        let bytes = keyset.encode();
        prop_assert_eq!(Keyset::decode(&bytes), Ok(keyset));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Keyset::decode(&bytes[..cut]).map_err(|error| error.code), Err(Code::AttKeyset));
        }
    }
}

#[test]
fn another_algorithm_or_key_is_refused() {
    let bytes = keyset().encode();
    let at = bytes.windows(7).position(|window| window == b"Ed25519").expect("algorithm");
    let mut other = bytes.clone();
    other[at..at + 7].copy_from_slice(b"Ed25518");
    assert!(Keyset::decode(&other).is_err());
    let mut extra = bytes.clone();
    extra[0] += 1;
    extra.extend_from_slice(&[0x08, 0x00]);
    assert!(Keyset::decode(&extra).is_err());
    assert!(Keyset::decode(&[bytes, vec![0]].concat()).is_err());
}
