use super::*;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

proptest! {
    #[test]
    fn messages_round_trip(nonce: [u8; 32], evidence: bool, claims in any::<[u8; 32]>(), signature in any::<[u8; 32]>(), document in proptest::collection::vec(any::<u8>(), 0..99)) {
        let request = BindRequest { nonce: Nonce::new(nonce), evidence, claims: Sha384::of(&claims) };
        prop_assert_eq!(BindRequest::decode(&request.encode()), Ok(request));
        let challenge = ChallengeRequest { nonce: Nonce::new(nonce) };
        prop_assert_eq!(ChallengeRequest::decode(&challenge.encode()), Ok(challenge));
        let mut both = [0; 64];
        both[..32].copy_from_slice(&signature);
        both[32..].copy_from_slice(&claims);
        for response in [BindResponse::Signature(both), BindResponse::Evidence(document)] {
            prop_assert_eq!(BindResponse::decode(&response.encode()), Ok(response.clone()));
        }
    }

    #[test]
    fn hostile_messages_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = BindRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(request) = ChallengeRequest::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes.clone());
        }
        if let Ok(response) = BindResponse::decode(&bytes) {
            prop_assert_eq!(response.encode(), bytes);
        }
    }
}

#[test]
fn other_structures_are_refused() {
    let nonce = [&[0x58, 0x20][..], &[1; 32]].concat();
    let challenge = [&[0xa1, 0x01][..], &nonce].concat();
    assert!(ChallengeRequest::decode(&challenge).is_ok());
    assert!(ChallengeRequest::decode(&[0xa0]).is_err());
    assert!(ChallengeRequest::decode(&[challenge.clone(), vec![0]].concat()).is_err());
    assert!(ChallengeRequest::decode(&[&[0xa1, 0x02][..], &nonce].concat()).is_err());
    assert!(BindRequest::decode(&challenge).is_err(), "claims digest missing");
    let absent_is_false =
        BindRequest { nonce: Nonce::new([1; 32]), evidence: true, claims: Sha384::new([2; 48]) };
    let mut bytes = absent_is_false.encode();
    let at = bytes.iter().position(|byte| *byte == 0xf5).expect("true");
    bytes[at] = 0xf4;
    assert!(BindRequest::decode(&bytes).is_err(), "false must be absent");
    assert!(BindResponse::decode(&[0xa0]).is_err());
    assert!(BindResponse::decode(&[0xa1, 0x01, 0x41, 0]).is_err());
}

#[test]
fn a_signature_covers_every_part_of_the_transcript() {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("seed");
    let public: [u8; 32] = key.public_key().as_ref().try_into().expect("32 bytes");
    let (nonce, ekm) = (Nonce::new([1; 32]), [2; 32]);
    let (claims, spki) = (Sha384::new([3; 48]), Sha256::new([4; 32]));
    let transcript = session_transcript(Role::Gateway, &nonce, &ekm, &claims, &spki);
    let signature: [u8; 64] = key.sign(&transcript).as_ref().try_into().expect("64 bytes");
    assert_eq!(verify_session(&public, &transcript, &signature), Ok(()));
    for (other, why) in [
        (session_transcript(Role::PeerResponder, &nonce, &ekm, &claims, &spki), "role"),
        (session_transcript(Role::Gateway, &Nonce::new([9; 32]), &ekm, &claims, &spki), "nonce"),
        (session_transcript(Role::Gateway, &nonce, &[9; 32], &claims, &spki), "exporter"),
        (session_transcript(Role::Gateway, &nonce, &ekm, &Sha384::new([9; 48]), &spki), "claims"),
        (session_transcript(Role::Gateway, &nonce, &ekm, &claims, &Sha256::new([9; 32])), "spki"),
    ] {
        let error = verify_session(&public, &other, &signature).expect_err(why);
        assert_eq!(error.code, Code::BindSession);
    }
    let contexts = [
        exporter_context(Role::Gateway, b"h2", &nonce, &claims),
        exporter_context(Role::PeerResponder, b"h2", &nonce, &claims),
        exporter_context(Role::Gateway, b"http/1.1", &nonce, &claims),
        exporter_context(Role::Gateway, b"h2", &Nonce::new([9; 32]), &claims),
        exporter_context(Role::Gateway, b"h2", &nonce, &Sha384::new([9; 48])),
    ];
    for (at, context) in contexts.iter().enumerate() {
        assert!(!contexts[..at].contains(context), "two contexts are equal");
    }
}
