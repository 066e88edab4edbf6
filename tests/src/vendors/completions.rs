//! OpenAI's older completions (API reference, "Create completion").

use serde_json::{Value, json};

use crate::upstream::{Received, Step, chunk, data, done, stream_head, whole};

/// A greeting, whatever the prompt; with the prompt before it where the request asks for that.
pub(super) fn answer(request: &Received) -> Vec<Step> {
    let body = request.json();
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let piece = |text: &str, finish: Option<&str>| {
        let choice = json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish});
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "real-model", "choices": [choice]})
    };
    if body["stream"] != true {
        let echo = body["prompt"].as_str().filter(|_| body["echo"] == true).unwrap_or_default();
        let mut answer = piece(&format!("{echo}Hello!"), Some("stop"));
        answer["usage"] = usage;
        return vec![Step::Send(whole(200, &answer))];
    }
    let mut last = piece("", None);
    last["choices"] = Value::Array(Vec::new());
    last["usage"] = usage;
    let pieces = [piece("Hel", None), piece("lo", None), piece("!", None), piece("", Some("stop")), last];
    let mut steps = vec![Step::Send(stream_head())];
    steps.extend(pieces.iter().map(|piece| Step::Send(chunk(&data(piece)))));
    steps.push(Step::Send(chunk(&done())));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}
