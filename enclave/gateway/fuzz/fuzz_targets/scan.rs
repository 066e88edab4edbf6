//! The scanner accepts exactly the objects that `serde_json` accepts (numbers out of range apart), and its spans are right.
#![no_main]

use gateway::scan::{Fields, Problem, strings};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|document: &[u8]| {
    let mut fields = Fields::new();
    let ours = fields.scan(document);
    strings(document, |_| {});
    let theirs = serde_json::from_slice::<Value>(document);
    match ours {
        Ok(()) => {
            for field in &fields {
                let value = serde_json::from_slice::<Value>(field.value(document));
                assert!(value.is_ok_and(|_| true) || theirs.is_err(), "a span is not a value");
            }
            match theirs {
                Ok(value) => {
                    assert_eq!(value.as_object().map(|object| object.len()), Some(fields.iter().count()))
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("out of range") || text.contains("recursion"),
                        "only we accept: {text}"
                    );
                }
            }
        }
        Err(refusal) => {
            assert!(refusal.offset <= document.len());
            let stricter = [
                Problem::DuplicateName,
                Problem::LongName,
                Problem::ManyFields,
                Problem::NotExpectedKind,
                Problem::TooDeep,
            ];
            assert!(theirs.is_err() || stricter.contains(&refusal.problem), "only serde_json accepts");
        }
    }
});
