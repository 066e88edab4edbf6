use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn scan(text: &[u8]) -> Result<Fields, ScanError> {
    let mut fields = Fields::new();
    fields.scan(text).map(|()| fields)
}

fn problem(text: &[u8]) -> Problem {
    scan(text).expect_err("must be refused").problem
}

#[test]
fn finds_fields_and_their_spans() {
    let text = br#" {"model" : "gpt-x","stream":true, "messages":[{"a":{}}],"n":1,"x":null} "#;
    let fields = scan(text).expect("valid");
    let value = |name| fields.find(text, name).map(|field| (field.value(text), field.kind));
    assert_eq!(value("model"), Some((br#""gpt-x""#.as_slice(), Kind::String)));
    assert_eq!(value("stream"), Some((b"true".as_slice(), Kind::True)));
    assert_eq!(value("messages"), Some((br#"[{"a":{}}]"#.as_slice(), Kind::Array)));
    assert_eq!(value("x"), Some((b"null".as_slice(), Kind::Null)));
    assert_eq!(fields.find(text, "n").and_then(|field| field.unsigned(text)), Some(1));
    assert_eq!(value("a"), None, "nested names are not top-level names");
}

#[test]
fn names_are_compared_unescaped() {
    let text = br#"{"mo\u0064el":"x"}"#;
    assert!(scan(text).expect("valid").find(text, "model").is_some());
    assert_eq!(problem(br#"{"model":"x","mo\u0064el":"y"}"#), Problem::DuplicateName);
    assert_eq!(problem(br#"{"a":1,"b":2,"a":3}"#), Problem::DuplicateName);
    assert!(scan(br#"{"model":"x","Model":"y"}"#).is_ok(), "names are case sensitive, so these are two");
}

#[test]
fn refuses_what_is_not_json() {
    for (text, expected) in [
        (b"".as_slice(), Problem::End),
        (b"{", Problem::End),
        (b"{\"a\":", Problem::End),
        (b"{\"a\":1", Problem::End),
        (b"{\"a\":\"x", Problem::End),
        (b"{\"a\":tru", Problem::End),
        (b"{\"a\":1}}", Problem::Trailing),
        (b"{\"a\":1}\0", Problem::Trailing),
        (b"{'a':1}", Problem::Syntax),
        (b"{\"a\":01}", Problem::Syntax),
        (b"{\"a\":1.}", Problem::Syntax),
        (b"{\"a\":+1}", Problem::Syntax),
        (b"{\"a\":.5}", Problem::Syntax),
        (b"{\"a\":NaN}", Problem::Syntax),
        (b"{\"a\":1,}", Problem::Syntax),
        (b"{\"a\":[1,]}", Problem::Syntax),
        (b"{\"a\":[1 2]}", Problem::Syntax),
        (b"{\"a\":{1:2}}", Problem::Syntax),
        (b"{\"a\" 1}", Problem::Syntax),
        (b"\xef\xbb\xbf{}", Problem::Syntax),
        (b"{\"a\":\"\n\"}", Problem::ControlCharacter),
        (b"{\"a\":\"\\x\"}", Problem::Escape),
        (b"{\"a\":\"\\ud800\"}", Problem::Escape),
        (b"{\"a\":\"\\ud800\\u0041\"}", Problem::Escape),
        (b"{\"a\":\"\\udc00\"}", Problem::Escape),
        (b"{\"a\":\"\xff\"}", Problem::Utf8),
        (b"[1]", Problem::NotExpectedKind),
        (b"\"x\"", Problem::NotExpectedKind),
        (b"null", Problem::NotExpectedKind),
    ] {
        assert_eq!(problem(text), expected, "{}", text.escape_ascii());
    }
}

#[test]
fn answers_may_have_lone_surrogates() {
    let mut fields = Fields::for_answers();
    for text in [r#"{"a":"\ud83d"}"#, r#"{"a":"\ude00\ud83d","b":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\n"}"#] {
        assert_eq!(fields.scan(text.as_bytes()), Ok(()), "{text}");
    }
    for text in [r#"{"a":"\ud83"}"#, r#"{"a":"\x"}"#, r#"{"a":"\ud83d\x"}"#] {
        assert!(fields.scan(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn bounds_depth_names_and_fields() {
    let nested = |depth: usize| {
        let inner = "[".repeat(depth - 1) + &"]".repeat(depth - 1);
        format!("{{\"a\":{inner}}}")
    };
    assert!(scan(nested(128).as_bytes()).is_ok());
    assert_eq!(problem(nested(129).as_bytes()), Problem::TooDeep);
    assert_eq!(problem(nested(100_000).as_bytes()), Problem::TooDeep);
    let long = format!("{{\"{}\":1}}", "n".repeat(MAX_NAME + 1));
    assert_eq!(problem(long.as_bytes()), Problem::LongName);
    let many: Vec<String> = (0..=MAX_FIELDS).map(|place| format!("\"f{place}\":1")).collect();
    assert_eq!(problem(format!("{{{}}}", many.join(",")).as_bytes()), Problem::ManyFields);
    let fits = format!("{{{}}}", many[1..].join(","));
    assert!(scan(fits.as_bytes()).is_ok());
}

#[test]
fn says_where() {
    let text = b"{\n  \"a\": x\n}";
    let refusal = scan(text).expect_err("refused");
    assert_eq!(refusal.position(text), (2, 8));
}

#[test]
fn cuts_a_member_with_its_comma() {
    for (text, cut, left) in [
        (r#"{"a":1,"b":2,"c":3}"#, "a", r#"{"b":2,"c":3}"#),
        (r#"{"a":1, "b":2 ,"c":3}"#, "b", r#"{"a":1, "c":3}"#),
        (r#"{"a":1,"c":3 }"#, "c", r#"{"a":1 }"#),
        (r#"{ "a":1 }"#, "a", "{  }"),
    ] {
        let fields = scan(text.as_bytes()).expect("valid");
        let span = fields.member_span(fields.find(text.as_bytes(), cut).expect("there"));
        let mut rest = text.to_owned();
        rest.replace_range(span, "");
        assert_eq!(rest, left);
    }
}

#[test]
fn finds_the_first_special_byte_at_every_place() {
    for length in (0..100).chain([255, 256, 257, 320, 400]) {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for at in 0..length {
                let mut bytes = vec![0xe9_u8; length];
                bytes[at] = special;
                assert_eq!(text::plain_run(&bytes, false), at);
                if special >= b' ' {
                    assert_eq!(text::plain_run(&bytes, true), at);
                }
            }
        }
        for (filler, tidy) in [(b' ', false), (b' ', true), (0x7f, false), (0x7f, true)] {
            assert_eq!(text::plain_run(&vec![filler; length], tidy), length);
        }
    }
}

/// JSON values without numbers that `serde_json` refuses for being out of range.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[\"\\\\\n\t\u{1}é😀a]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,12}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whether `serde_json` accepts the document as an object whose top-level names are unique.
fn reference(text: &[u8]) -> Option<Vec<(String, Value)>> {
    struct Pairs(Vec<(String, Value)>);
    impl<'de> serde::Deserialize<'de> for Pairs {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Pairs;
                fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    out.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    let Pairs(pairs) = serde_json::from_slice(text).ok()?;
    let names: std::collections::BTreeSet<_> = pairs.iter().map(|(name, _)| name).collect();
    (names.len() == pairs.len()).then_some(pairs)
}

/// Our fields, parsed by `serde_json`, for comparison.
fn ours(text: &[u8]) -> Option<Vec<(String, Value)>> {
    let fields = scan(text).ok()?;
    let parse = |field: &Field| {
        let name = unescape(&text[field.name.start + 1..field.name.end - 1]).expect("a valid name");
        (name, serde_json::from_slice(field.value(text)).expect("a valid value"))
    };
    Some(fields.iter().map(parse).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_serde_json_on_valid_documents(value in values(), pretty: bool) {
        let object = if value.is_object() { value } else { serde_json::json!({ "only": value }) };
        let print = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
        let text = print(&object).expect("prints");
        prop_assert_eq!(ours(&text), reference(&text));
        prop_assert!(ours(&text).is_some());
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_documents(
        value in values(), at: prop::sample::Index, byte: u8, kind in 0..3,
    ) {
        let mut text = serde_json::to_vec(&serde_json::json!({ "a": value, "b": [1, {"c": "d\n"}] })).expect("prints");
        let at = at.index(text.len());
        match kind {
            0 => text[at] = byte,
            1 => { text.remove(at); }
            _ => text.truncate(at),
        }
        let huge = |text: &[u8]| serde_json::from_slice::<Value>(text).is_err_and(|e| e.to_string().contains("out of range"));
        prop_assume!(!huge(&text));
        prop_assert_eq!(ours(&text), reference(&text));
    }

    #[test]
    fn never_panics_on_noise(text: Vec<u8>) {
        drop(ours(&text));
        strings(&text, |_| {});
    }

    #[test]
    fn visits_every_string(words in prop::collection::vec("\\PC{0,20}", 0..8)) {
        let text = serde_json::to_vec(&words).expect("prints");
        let mut seen = Vec::new();
        strings(&text, |raw| seen.push(unescape(raw).expect("valid")));
        prop_assert_eq!(seen, words);
    }

    #[test]
    fn unescapes_like_serde_json(word in "[\"\\\\\n\t\u{1}é😀a/]{0,40}") {
        let text = serde_json::to_vec(&word).expect("prints");
        prop_assert_eq!(unescape(&text[1..text.len() - 1]), Some(word));
    }
}
