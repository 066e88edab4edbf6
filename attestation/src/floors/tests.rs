use super::*;

type Edit = fn(&mut Value);

fn edited(edit: impl Fn(&mut Value)) -> Result<TcbFloors, Rejection> {
    let mut file: Value = serde_json::from_slice(SHIPPED).expect("shipped file");
    edit(&mut file);
    TcbFloors::parse(&serde_json::to_vec(&file).expect("json"))
}

#[test]
fn the_shipped_file_is_whole() {
    let floors = TcbFloors::shipped().expect("shipped file");
    assert!(floors.valid_until <= floors.issued_at.plus(std::time::Duration::from_hours(45 * 24)));
    for (family, model, stepping, name, denied) in [
        (0x19, 0x01, 1, "Milan B1", true),
        (0x19, 0x01, 2, "Milan-X", true),
        (0x19, 0x11, 1, "Genoa", false),
        (0x19, 0x11, 2, "Genoa-X", false),
        (0x19, 0xa0, 2, "Bergamo and Siena", true),
        (0x1a, 0x02, 1, "Turin", false),
    ] {
        let line = floors.line(CpuId { family, model, stepping }).expect(name);
        assert_eq!((line.name.as_str(), line.denied.is_some()), (name, denied));
    }
    assert_eq!(floors.line(CpuId { family: 0x19, model: 0x11, stepping: 0 }), None);
    assert_eq!(floors.line(CpuId { family: 0x1a, model: 0x03, stepping: 0 }), None);
}

#[test]
fn broken_files_are_refused() {
    assert!(edited(|_| ()).is_ok());
    let broken: [(&str, Edit); 10] = [
        ("another format", |file| file["format"] = "other/1".into()),
        ("an unknown field", |file| file["comment"] = "x".into()),
        ("a missing field", |file| drop(file.as_object_mut().expect("object").remove("version"))),
        ("a negative version", |file| file["version"] = (-1).into()),
        ("no source", |file| file["lines"][0]["sources"] = Value::Array(Vec::new())),
        ("a level over 255", |file| file["lines"][0]["tcb"]["snp"] = 256.into()),
        ("a missing level", |file| file["lines"][0]["tcb"]["snp"] = Value::Null),
        ("a mitigation bit over 63", |file| file["lines"][0]["mitigation_bits"] = vec![64].into()),
        ("models in the wrong order", |file| file["lines"][0]["models"] = vec![2, 1].into()),
        ("an end before the beginning", |file| file["valid_until"] = "2026-01-01T00:00:00Z".into()),
    ];
    for (why, edit) in broken {
        assert_eq!(edited(edit).map_err(|error| error.code), Err(Code::PolInvalid), "{why}");
    }
    assert!(TcbFloors::parse(b"{").is_err());
}

#[test]
fn a_signed_file_is_taken_from_its_signer_only() {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let pair = |seed: u8| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("seed");
    let public =
        |pair: &Ed25519KeyPair| -> [u8; 32] { pair.public_key().as_ref().try_into().expect("32 bytes") };
    let release = pair(1);
    let (key, signature) = (public(&release), release.sign(&signed_message(SHIPPED)));
    let floors = TcbFloors::parse_signed(SHIPPED, signature.as_ref(), &key).expect("signed");
    assert_eq!(floors.provenance, Provenance::Signed);
    assert_eq!(TcbFloors::parse(SHIPPED).map(|floors| floors.provenance), Ok(Provenance::Unsigned));
    assert_eq!(TcbFloors::shipped().map(|floors| floors.provenance), Ok(Provenance::Shipped));
    let code = |json: &[u8], signature: &[u8], key: &[u8; 32]| {
        TcbFloors::parse_signed(json, signature, key).map_err(|error| error.code).err()
    };
    let mut lowered = SHIPPED.to_vec();
    *lowered.last_mut().expect("bytes") ^= 1;
    assert_eq!(code(&lowered, signature.as_ref(), &key), Some(Code::RelUnverified), "another file");
    assert_eq!(
        code(SHIPPED, signature.as_ref(), &public(&pair(2))),
        Some(Code::RelUnverified),
        "another key"
    );
    assert_eq!(code(SHIPPED, &[], &key), Some(Code::RelUnverified), "no signature");
    let bare = release.sign(SHIPPED);
    assert_eq!(
        code(SHIPPED, bare.as_ref(), &key),
        Some(Code::RelUnverified),
        "a signature for another purpose"
    );
    // what is signed is still judged
    let nonsense = release.sign(&signed_message(b"{}"));
    assert_eq!(code(b"{}", nonsense.as_ref(), &key), Some(Code::PolInvalid));
}
