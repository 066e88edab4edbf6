use super::*;
use proptest::prelude::*;

fn document() -> EvidenceDocument {
    EvidenceDocument {
        claims: b"claims".to_vec(),
        keyset: b"keyset".to_vec(),
        cpu: CpuEvidence { tee: TeeType::Snp, bytes: vec![5; 1184] },
        endorsements: vec![0xa2],
        devices: None,
        release: None,
        deployment: None,
    }
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(
        claims in proptest::collection::vec(any::<u8>(), 0..300),
        tee in prop::sample::select(TeeType::ALL.to_vec()),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        devices in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        release in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        deployment in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
    ) {
        let document = EvidenceDocument {
            claims, cpu: CpuEvidence { tee, bytes }, devices, release, deployment, ..document()
        };
        let bytes = document.encode();
        prop_assert_eq!(EvidenceDocument::decode(&bytes), Ok(document));
        for cut in 0..bytes.len() {
            prop_assert!(EvidenceDocument::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn whatever_is_accepted_was_canonical(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = document().encode();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(document) = EvidenceDocument::decode(&bytes) {
            prop_assert_eq!(document.encode(), bytes);
        }
    }
}

#[test]
fn size_members_types_and_indicators_are_judged() {
    let replaced = |from: &[u8], to: &[u8]| {
        let bytes = document().encode();
        let at = bytes.windows(from.len()).position(|window| window == from).expect("pattern");
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    for (from, to, why) in [
        (&b"snp-report"[..], &b"sgx-report"[..], "unknown evidence type"),
        (b"keyset+cbor", b"keysat+cbor", "member of another type"),
        (b"fkeyset", b"fkeysat", "unknown member"),
        (b"Fclaims\x04", b"Fclaims\x02", "another indicator"),
    ] {
        let rejection = EvidenceDocument::decode(&replaced(from, to)).expect_err(why);
        assert_eq!(rejection.code, Code::AttMalformed, "{why}");
    }
    let huge = EvidenceDocument { endorsements: vec![0; EvidenceDocument::MAX_BYTES], ..document() };
    assert!(EvidenceDocument::decode(&huge.encode()).is_err());
    let long = CpuEvidence { tee: TeeType::Snp, bytes: vec![0; MAX_CPU_EVIDENCE_BYTES + 1] };
    assert!(EvidenceDocument::decode(&EvidenceDocument { cpu: long, ..document() }.encode()).is_err());
}
