use bytes::Bytes;
use proptest::prelude::*;

use super::super::features::Features;
use super::super::tree::{Dice, FeaturesOnce};
use super::super::wishes::Wishes;
use super::*;
use crate::admission::{AllowedModels, Key, KeyRules};
use crate::clock::Now;
use crate::plaintext::Plaintext;
use crate::wire::WIRES;

fn holds(text: &str) -> bool {
    let expression = Expression::compile(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
    let body = r#"{"model":"smart","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"x"}],"tools":[{}]}"#;
    let chat = WIRES.iter().find(|wire| wire.name() == "openai_chat").unwrap();
    let request = chat.parse(crate::wire::Asked::default(), Plaintext::new(Bytes::from(body))).unwrap();
    assert!(Features::of(&request).tools);
    let key = Key::new("tester".into(), AllowedModels::Every, None)
        .with_rules(KeyRules { priority: 3, ..KeyRules::default() });
    let wishes = Wishes {
        tags: vec!["batch".to_owned()],
        metadata: [("team".to_owned(), "red".to_owned())].into(),
        headers: [("x-plan".to_owned(), "gold-1".to_owned())].into(),
        ..Wishes::default()
    };
    let question = Question {
        request: &request,
        key: &key,
        wishes: &wishes,
        labels: &["pii".into()],
        // 1970-01-02 05:00, a Friday.
        now: Now { unix_ms: (24 + 5) * 3_600_000, ..Now::default() },
        dice: &Dice::new(1),
        leaves: &[],
        features: &FeaturesOnce::new(&request),
    };
    expression.holds(&question)
}

#[test]
fn conditions_mean_what_cel_says() {
    for (text, expected) in [
        ("true", true),
        ("!true", false),
        ("false || true && false", false),
        ("(false || true) && !!true", true),
        ("request.model == \"smart\"", true),
        ("request.model != 'smart'", false),
        ("request.model < 'z' && request.model >= 'smart'", true),
        ("request.stream && request.has_tools && !request.has_images", true),
        ("request.stream == request.has_tools", true),
        ("request.max_output_tokens > 49 && request.max_output_tokens <= 50", true),
        ("request.max_output_tokens >= -1", true),
        ("estimate.input_tokens < 100", true),
        ("'pii' in labels", true),
        ("labels.size() == 1 && size(labels) == 1", true),
        ("\"other\" in tags || 'batch' in tags", true),
        ("request.model in ['fast', 'smart']", true),
        ("request.model in []", false),
        ("metadata['team'] == 'red' && metadata.team.startsWith('r')", true),
        ("metadata.absent == ''", true),
        ("request.headers['X-Plan'].contains('old') && request.headers['x-plan'].endsWith('1')", true),
        ("key.id == 'tester' && key.priority == 3 && key.tier == ''", true),
        ("key.exposure_max == 'provider_visible'", true),
        ("time.hour == 5 && time.weekday == 5", true),
        ("request.operation == 'chat'", true),
        ("'a\\'b'.contains('\\'')", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn mistakes_are_found_at_load_and_located() {
    for (text, offset, part) in [
        ("", 0, "a value"),
        ("request.model", 13, "neither true nor false"),
        ("request.modle == 'x'", 8, "request.model"),
        ("request.model == 3", 18, "same type"),
        ("true == 'x'", 11, "same type"),
        ("true < false", 12, "same type"),
        ("true true", 5, "the end"),
        ("(true", 5, "')'"),
        ("'open", 0, "quoted text"),
        ("1 + 1 == 2", 2, "an operator"),
        ("request.model.matches('x')", 22, "contains"),
        ("'x' in 'xyz'", 12, "a list after"),
        ("request.headers['Authorization'] == 'x'", 33, "no credential"),
        ("key['id'] == 'x'", 3, "one of"),
    ] {
        let mistake = Expression::compile(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
        assert!(mistake.to_string().contains(part), "{text}: {mistake}");
        assert!(
            mistake.offset <= text.len() && mistake.offset >= offset.min(text.len()).saturating_sub(8),
            "{text}: {mistake}"
        );
    }
    assert!(Expression::compile(&"(".repeat(40)).is_err(), "too deep");
    assert!(Expression::compile(&"true && ".repeat(400)).is_err(), "too long");
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_refused(text in "[a-z().'!&|=<>\\[\\], 0-9\\\\\"-]{0,80}") {
        if let Err(mistake) = Expression::compile(&text) {
            prop_assert!(mistake.offset <= text.len());
        }
    }
}
