use super::*;
use proptest::prelude::*;

/// A certificate table as the GHCB lays it out: rows, a zero row, then the entries.
fn table(entries: &[([u8; 16], &[u8])]) -> Vec<u8> {
    let mut offset = (entries.len() + 1) * TABLE_ROW_BYTES;
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for (guid, bytes) in entries {
        rows.extend_from_slice(guid);
        rows.extend_from_slice(&u32::try_from(offset).expect("small").to_le_bytes());
        rows.extend_from_slice(&u32::try_from(bytes.len()).expect("small").to_le_bytes());
        data.extend_from_slice(bytes);
        offset += bytes.len();
    }
    rows.extend_from_slice(&[0; TABLE_ROW_BYTES]);
    [rows, data].concat()
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(
        certificates in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
        crls in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..4),
    ) {
        let endorsements = Endorsements { certificates, crls, ..Endorsements::default() };
        let bytes = endorsements.encode();
        prop_assert_eq!(Endorsements::decode(&bytes), Ok(endorsements));
        for cut in 0..bytes.len() {
            prop_assert!(Endorsements::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn hostile_tables_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(endorsements) = Endorsements::from_snp_certificate_table(&bytes) {
            let total: usize = endorsements.certificates.iter().chain(&endorsements.crls).map(Vec::len).sum();
            prop_assert!(total <= 5 * bytes.len());
        }
    }
}

#[test]
fn a_table_is_sorted_by_what_its_rows_name() {
    let bytes = table(&[
        (TableEntry::Vcek.guid(), b"vcek"),
        ([7; 16], b"unknown"),
        (TableEntry::Crl.guid(), b"crl"),
        (TableEntry::Ask.guid(), b"ask"),
    ]);
    let endorsements = Endorsements::from_snp_certificate_table(&bytes).expect("table");
    assert_eq!(endorsements.certificates, [b"vcek".to_vec(), b"ask".to_vec()]);
    assert_eq!(endorsements.crls, [b"crl".to_vec()]);
    assert_eq!(Endorsements::from_snp_certificate_table(&[]), Ok(Endorsements::default()));
}

#[test]
fn broken_tables_are_refused() {
    let vcek = TableEntry::Vcek.guid();
    let good = table(&[(vcek, b"vcek")]);
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    assert!(Endorsements::from_snp_certificate_table(&good).is_ok());
    for (bytes, why) in [
        (table(&[(vcek, b"one"), (vcek, b"two")]), "two rows of one kind"),
        (with(16, 0), "an entry inside the head"),
        (with(16, 49), "an entry past the end"),
        (with(16, u32::MAX), "an offset past the end"),
        (with(20, 0), "an empty entry"),
        (with(20, u32::MAX), "an endless entry"),
        (with(24 + 16, 1), "a last row that is not zero"),
        (good[..24].to_vec(), "no last row"),
        (good[..23].to_vec(), "half a row"),
        ([9; 24].repeat(16), "too many rows"),
    ] {
        let rejection = Endorsements::from_snp_certificate_table(&bytes).expect_err(why);
        assert_eq!(rejection.code, Code::AttMalformed, "{why}");
    }
}
