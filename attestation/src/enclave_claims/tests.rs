use super::*;
use proptest::prelude::*;

fn claims(kind: Kind) -> EnclaveClaims {
    EnclaveClaims {
        role: Role::Gateway,
        kind,
        keyset_digest: Sha384::new([1; 48]),
        config_digest: Sha384::new([2; 48]),
        deployment_id: [3; 32],
        instance_id: [4; 16],
        channels: vec![Channel::T],
        min_version: 1,
        max_version: 1,
        state_head: None,
        log: None,
        gpu_digest: None,
        time_quality: TimeQuality::Good,
    }
}

fn challenge() -> EnclaveClaims {
    claims(Kind::Challenge { nonce: Nonce::new([9; 32]) })
}

fn refused(bytes: &[u8]) -> bool {
    EnclaveClaims::decode(bytes).is_err_and(|error| error.code == Code::AttClaimsMalformed)
}

fn arbitrary_claims() -> impl Strategy<Value = EnclaveClaims> {
    let kind = prop_oneof![
        (any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(chain, round, signature)| {
            Kind::Epoch {
                beacon: Beacon { chain: Sha256::new(chain), round, signature_sha256: Sha256::new(signature) },
            }
        }),
        any::<[u8; 32]>().prop_map(|nonce| Kind::Challenge { nonce: Nonce::new(nonce) }),
        any::<([u8; 32], [u8; 32])>()
            .prop_map(|(nonce, session)| Kind::Session { nonce: Nonce::new(nonce), session }),
    ];
    let channels =
        prop_oneof![Just(vec![Channel::T]), Just(vec![Channel::E]), Just(vec![Channel::E, Channel::T]),];
    let head = proptest::option::of((any::<u64>(), any::<[u8; 32]>()));
    (
        kind,
        any::<[u8; 32]>(),
        any::<[u8; 16]>(),
        channels,
        1_u64..9,
        0_u64..9,
        head,
        any::<Option<[u8; 32]>>(),
        0_u64..4,
    )
        .prop_map(|(kind, deployment_id, instance_id, channels, min, more, head, gpu, role)| {
            EnclaveClaims {
                role: Role::from_number(role).expect("role"),
                deployment_id,
                instance_id,
                channels,
                min_version: min,
                max_version: min + more,
                log: head.map(|(size, _)| format!("replica-{}", size % 7)),
                state_head: head.map(|(tree_size, root)| StateHead { tree_size, root: Sha256::new(root) }),
                gpu_digest: gpu.map(Sha256::new),
                time_quality: if more == 0 { TimeQuality::Good } else { TimeQuality::Degraded },
                ..claims(kind)
            }
        })
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(claims in arbitrary_claims()) {
        let bytes = claims.encode();
        prop_assert_eq!(EnclaveClaims::decode(&bytes), Ok(claims));
        for cut in 0..bytes.len() {
            prop_assert!(refused(&bytes[..cut]));
        }
    }

    #[test]
    fn whatever_is_accepted_was_canonical(mut bytes in Just(challenge().encode()), at in any::<prop::sample::Index>(), value: u8) {
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(claims) = EnclaveClaims::decode(&bytes) {
            prop_assert_eq!(claims.encode(), bytes);
        }
    }
}

/// The challenge claims as (key, encoded value) pairs, to rebuild with one change.
fn entries() -> Vec<(u64, Vec<u8>)> {
    let bytes = challenge().encode();
    let mut entries = Vec::new();
    let mut reader = Reader::new(&bytes);
    reader
        .map(64, |key, value| {
            let start = value.position();
            value.skip()?;
            let Key::Uint(key) = key else { panic!("numbers only") };
            entries.push((key, bytes[start..value.position()].to_vec()));
            Ok::<_, CborError>(())
        })
        .expect("own encoding");
    entries
}

fn rebuilt(entries: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Writer::new().map(entries.len()).clone().into_bytes();
    for (key, value) in entries {
        bytes.extend_from_slice(&Writer::new().uint(*key).clone().into_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

#[test]
fn every_key_is_mandatory_and_no_other_is_known() {
    let all = entries();
    assert_eq!(rebuilt(&all), challenge().encode());
    for missing in 0..all.len() {
        let mut fewer = all.clone();
        let (key, _) = fewer.remove(missing);
        assert!(refused(&rebuilt(&fewer)), "without key {key}");
    }
    for (key, accepted) in
        [(16, false), (999, false), (1000, true), (1001, false), (1002, true), (5_000, true)]
    {
        let mut more = all.clone();
        more.push((key, vec![0x81, 0x00]));
        assert_eq!(EnclaveClaims::decode(&rebuilt(&more)).is_ok(), accepted, "with key {key}");
    }
}

#[test]
fn keys_that_do_not_belong_to_the_kind_are_refused() {
    for (key, value) in
        [(5, [0x58, 0x20].iter().copied().chain([0; 32]).collect::<Vec<u8>>()), (10, vec![0xf6])]
    {
        let mut more = entries();
        more.push((key, value));
        more.sort();
        assert!(refused(&rebuilt(&more)), "key {key} in a challenge");
    }
    for (kind, why) in [(0, "epoch without beacon"), (2, "session without session"), (3, "unknown kind")] {
        let mut other = entries();
        other.iter_mut().find(|(key, _)| *key == 3).expect("kind").1 = vec![kind];
        assert!(refused(&rebuilt(&other)), "{why}");
    }
}

#[test]
fn values_outside_their_sets_are_refused() {
    let replace = |key: u64, value: &[u8]| {
        let mut other = entries();
        other.iter_mut().find(|(own, _)| *own == key).expect("key").1 = value.to_vec();
        rebuilt(&other)
    };
    for (key, value, why) in [
        (1, &[2][..], "version 2"),
        (2, &[4], "role 4"),
        (4, &[0x41, 0], "short nonce"),
        (11, &[0x80], "no channel"),
        (11, &[0x82, 0x61, b'T', 0x61, b'E'], "unsorted channels"),
        (11, &[0x82, 0x61, b'T', 0x61, b'T'], "repeated channel"),
        (11, &[0x81, 0x61, b'X'], "unknown channel"),
        (12, &[0x82, 2, 1], "versions in the wrong order"),
        (12, &[0x82, 0, 1], "version zero"),
        (13, &[0x80], "empty state head"),
        (14, &[0x40], "empty device digest"),
        (15, &[2], "unknown time quality"),
    ] {
        assert!(refused(&replace(key, value)), "{why}");
    }
}
