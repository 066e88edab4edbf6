//! The client of `--once`: one streaming chat completion over plain HTTP, as any OpenAI client sends it.

use std::io::{self, BufReader};
use std::time::Duration;

use serde_json::{Value, json};

use crate::configuration::MODEL;
use crate::failure::Failure;

/// How long to wait for the answer to begin, and for all of it.
const HEAD_TIME: Duration = Duration::from_mins(1);
const WHOLE_TIME: Duration = Duration::from_mins(10);

/// Sends the prompt and prints the answer as it comes. A stream that breaks off is a failure.
pub(crate) fn ask(base_url: &str, token: &str, prompt: &str) -> Result<(), Failure> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_recv_response(Some(HEAD_TIME))
        .timeout_global(Some(WHOLE_TIME))
        .build()
        .into();
    let body = json!({"model": MODEL, "stream": true, "messages": [{"role": "user", "content": prompt}]});
    let mut response = agent
        .post(format!("{base_url}/chat/completions"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .send(body.to_string())
        .map_err(|error| Failure::Answer(error.to_string()))?;
    if response.status() != 200 {
        let status = response.status();
        let body = response.body_mut().read_to_string().unwrap_or_default();
        return Err(Failure::Answer(refusal(status.as_u16(), &body)));
    }
    print_events(BufReader::new(response.body_mut().as_reader()), &mut io::stdout())
}

/// Status and the error's own words, where the body has the shape of an OpenAI error.
fn refusal(status: u16, body: &str) -> String {
    let error = serde_json::from_str::<Value>(body).unwrap_or_default();
    let text = |key: &str| error.pointer(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    format!("status {status}, {} ({})", text("/error/message"), text("/error/code"))
}

/// Prints the content of each event; true to the protocol, only `[DONE]` is an end.
fn print_events(events: impl io::BufRead, out: &mut impl io::Write) -> Result<(), Failure> {
    let output = |error: io::Error| Failure::Output(error.kind());
    for line in events.lines() {
        let line = line.map_err(|error| Failure::Answer(error.to_string()))?;
        let Some(data) = line.strip_prefix("data:") else { continue };
        let data = data.trim();
        if data == "[DONE]" {
            writeln!(out).map_err(output)?;
            return out.flush().map_err(output);
        }
        let event: Value = serde_json::from_str(data)
            .map_err(|_| Failure::Answer("an event of the stream is not JSON".to_owned()))?;
        if event.get("error").is_some() {
            return Err(Failure::Answer(refusal(200, data)));
        }
        if let Some(text) = event.pointer("/choices/0/delta/content").and_then(Value::as_str) {
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(output)?;
        }
    }
    Err(Failure::Answer("the stream broke off".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{print_events, refusal};

    #[test]
    fn only_done_is_an_end() {
        let event = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        let mut printed = Vec::new();
        print_events(format!("{event}data: [DONE]\n\n").as_bytes(), &mut printed).unwrap();
        assert_eq!(printed, b"x\n");
        for broken in
            [event, "", "data: {\"choices\":[\n", "data: {\"error\":{\"code\":\"c\"}}\n\ndata: [DONE]\n"]
        {
            print_events(broken.as_bytes(), &mut Vec::new()).unwrap_err();
        }
    }

    #[test]
    fn errors_show_their_code() {
        let body = r#"{"error":{"message":"no","type":"attestation_error","code":"ATT_MEASUREMENT"}}"#;
        assert_eq!(refusal(502, body), "status 502, no (ATT_MEASUREMENT)");
        assert_eq!(refusal(500, "<html>"), "status 500, ? (?)");
    }
}
