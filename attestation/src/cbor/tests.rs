use super::*;
use crate::digest::from_hex;
use proptest::prelude::*;

fn skip_all(hex: &str) -> Result<(), CborError> {
    let bytes = from_hex(hex, 1 << 16).expect("hex");
    let mut reader = Reader::new(&bytes);
    reader.skip()?;
    reader.finish()
}

#[test]
fn accepts_deterministic_items() {
    for hex in [
        "00",
        "17",
        "1818",
        "18ff",
        "190100",
        "1a00010000",
        "1b0000000100000000",
        "20",
        "40",
        "4101",
        "60",
        "6161",
        "80",
        "8101",
        "a0",
        "a10102",
        "a2010218ff03",
        "a2616101626161f6",
        "f4",
        "f5",
        "f6",
    ] {
        assert_eq!(skip_all(hex), Ok(()), "{hex}");
    }
}

#[test]
fn refuses_every_other_spelling() {
    for (hex, why) in [
        ("1800", "long number"),
        ("1817", "long number"),
        ("190000", "long number"),
        ("1900ff", "long number"),
        ("1a0000ffff", "long number"),
        ("1b00000000ffffffff", "long number"),
        ("5800", "long length"),
        ("5f4101ff", "indefinite bytes"),
        ("7f6161ff", "indefinite text"),
        ("9f01ff", "indefinite array"),
        ("bf0102ff", "indefinite map"),
        ("ff", "break"),
        ("f7", "undefined"),
        ("f0", "unassigned simple value"),
        ("f8ff", "simple value with an argument"),
        ("f814", "long false"),
        ("f90000", "half float"),
        ("fa00000000", "float"),
        ("fb0000000000000000", "double"),
        ("c100", "tag"),
        ("1c", "reserved head"),
        ("61ff", "not utf-8"),
        ("a201000100", "repeated key"),
        ("a202000100", "unsorted keys"),
        ("a26162006161 00", "unsorted text keys"),
        ("a1400 0", "bytes as key"),
        ("0000", "left over"),
        ("41", "truncated"),
        ("", "empty"),
        ("818181818181818181", "depth and truncated"),
        ("9bffffffffffffffff", "huge array"),
        ("5bffffffffffffffff", "huge string"),
    ] {
        assert!(skip_all(&hex.replace(' ', "")).is_err(), "{why}: {hex}");
    }
}

#[test]
fn depth_eight_is_the_last() {
    assert_eq!(skip_all(&format!("{}00", "81".repeat(8))), Ok(()));
    assert_eq!(skip_all(&format!("{}00", "81".repeat(9))), Err(CborError::Depth(8)));
}

#[derive(Clone, Debug)]
enum Item {
    Uint(u64),
    Bytes(Vec<u8>),
    Text(String),
    Bool(bool),
    Null,
    Array(Vec<Self>),
    Map(Vec<(u64, Self)>),
}

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Item::Uint),
        (0_u64..300).prop_map(Item::Uint),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Item::Bytes),
        "\\PC{0,40}".prop_map(Item::Text),
        any::<bool>().prop_map(Item::Bool),
        Just(Item::Null),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Item::Array),
            proptest::collection::btree_map(any::<u64>(), inner, 0..6)
                .prop_map(|map| Item::Map(map.into_iter().collect())),
        ]
    })
}

fn write(item: &Item, writer: &mut Writer) {
    match item {
        Item::Uint(value) => {
            writer.uint(*value);
        }
        Item::Bytes(bytes) => {
            writer.bytes(bytes);
        }
        Item::Text(text) => {
            writer.text(text);
        }
        Item::Bool(value) => {
            writer.bool(*value);
        }
        Item::Null => {
            writer.null();
        }
        Item::Array(items) => {
            writer.array(items.len());
            for item in items {
                write(item, writer);
            }
        }
        Item::Map(entries) => {
            writer.map(entries.len());
            for (key, value) in entries {
                writer.uint(*key);
                write(value, writer);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_every_cut_is_refused(item in item()) {
        let mut writer = Writer::new();
        write(&item, &mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.skip(), Ok(()));
        prop_assert_eq!(reader.finish(), Ok(()));
        for cut in 0..bytes.len() {
            prop_assert!(Reader::new(&bytes[..cut]).skip().is_err());
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        if reader.skip().is_ok() {
            prop_assert!(reader.position() > 0);
        }
        prop_assert!(reader.position() <= bytes.len());
    }
}
