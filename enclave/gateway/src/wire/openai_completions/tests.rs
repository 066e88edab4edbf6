use serde_json::Value;

use super::*;
use crate::wire::dialect::OnUnsupported;

fn request(more: &str) -> Request {
    let body = Bytes::from(format!(r#"{{"model":"m"{more}}}"#));
    OpenAiCompletions.parse(Asked::default(), Plaintext::new(body)).unwrap()
}

fn read(more: &str, on_unsupported: OnUnsupported) -> Result<(Plaintext<Conversation>, usize), Error> {
    let mut expressible = Expressible::new(on_unsupported);
    let conversation = read::conversation(&request(more), &mut expressible)?;
    Ok((conversation, expressible.told().len()))
}

#[test]
fn a_prompt_becomes_a_conversation() {
    for prompt in [r#""Say hello""#, r#"["Say hello"]"#] {
        let more = format!(r#","prompt":{prompt},"stop":"\n","n":2,"best_of":2,"suffix":"","echo":false"#);
        let (own, told) = read(&more, OnUnsupported::Error).unwrap();
        let own = own.expose();
        assert_eq!((own.turns.len(), own.stop.len(), own.choices, told), (1, 1, Some(2), 0));
        assert_eq!(own.max_output_tokens, Some(16), "the API's own default");
    }
}

#[test]
fn what_only_a_continuation_has_is_refused() {
    let refused = |more: &str, on_unsupported| match read(more, on_unsupported) {
        Err(Error::FieldUnsupported { param }) => param,
        Err(error) => error.code(),
        Ok(_) => "read",
    };
    for (member, param) in [
        (r#""suffix":"x""#, "suffix"),
        (r#""echo":true"#, "echo"),
        (r#""logprobs":0"#, "logprobs"),
        (r#""best_of":3"#, "best_of"),
        (r#""logit_bias":{"1":2}"#, "logit_bias"),
    ] {
        assert_eq!(refused(&format!(r#","prompt":"x",{member}"#), OnUnsupported::Error), param);
        assert_eq!(refused(&format!(r#","prompt":"x",{member}"#), OnUnsupported::Warn), "read");
    }
    for prompt in [r#"["a","b"]"#, "[1,2]", "[[1,2]]", "[]"] {
        // Nothing would be left to ask.
        assert_eq!(refused(&format!(r#","prompt":{prompt}"#), OnUnsupported::Drop), "prompt", "{prompt}");
    }
}

#[test]
fn a_body_without_a_prompt_is_none() {
    let parse = |body: &'static str| {
        let parsed = OpenAiCompletions.parse(Asked::default(), Plaintext::new(Bytes::from(body)));
        parsed.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(parse(r#"{"model":"m"}"#), Err("missing_required_parameter"));
    assert_eq!(parse(r#"{"model":"m","prompt":7}"#), Err("invalid_value"));
    assert_eq!(parse(r#"{"model":"m","prompt":[7]}"#), Ok(()));
}

#[test]
fn several_answers_are_streamed_side_by_side_and_each_finished_once() {
    let shown = Shown {
        id: "1".to_owned(),
        model: "m".to_owned(),
        created: 7,
        include_usage: true,
        reasoning: false,
    };
    let mut writer = write::Writer::new(shown);
    let mut out = Vec::new();
    let text = |choice, text: &str| crate::chat::Delta::Text { choice, text: text.to_owned() };
    let finish = crate::chat::Delta::Finish { choice: 1, reason: FinishReason::Length, stop_sequence: None };
    for delta in [text(0, "a"), text(1, "b"), finish, text(0, "c")] {
        writer.write(&delta, &mut out);
    }
    writer.write(&crate::chat::Delta::Usage(crate::chat::Usage::default()), &mut out);
    writer.end(&mut out);
    let out = String::from_utf8(out).unwrap();
    let events: Vec<Value> = out
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: {").map(|rest| format!("{{{rest}")))
        .map(|data| serde_json::from_str(&data).unwrap())
        .collect();
    let said = |place: usize| events[place]["choices"][0].clone();
    assert_eq!(events.len(), 6);
    assert_eq!((said(2)["index"].clone(), said(2)["finish_reason"].clone()), (1.into(), "length".into()));
    assert_eq!((said(4)["index"].clone(), said(4)["finish_reason"].clone()), (0.into(), "stop".into()));
    assert_eq!(events[5]["choices"], Value::Array(Vec::new()));
    assert!(events[5]["usage"].is_object() && out.ends_with("data: [DONE]\n\n"));
}
