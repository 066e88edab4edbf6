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
