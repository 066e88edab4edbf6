//! `postern chat`: one prompt through a verified channel, the answer as it comes.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use postern_client::channel::VerifiedBody;
use postern_client::local_proxy::GatewayKey;
use postern_client::{ChannelBody, Error, VerifiedChannel, empty_body, full_body};
use serde_json::{Value, json};

use crate::args::Chat;
use crate::output::{Output, printable, printable_text};
use crate::verdict::Verdict;
use crate::{exit, fetch};

pub(crate) async fn run(args: &Chat, output: &Output) -> ExitCode {
    match talk(args, output).await {
        Ok(()) => exit::verified(),
        Err(code) => code,
    }
}

async fn talk(args: &Chat, output: &Output) -> Result<(), ExitCode> {
    let fail = |error: &Error| {
        output.error(error);
        exit::of(error.outcome())
    };
    let key = fetch::gateway_key(args.key_file.as_deref()).map_err(|what| {
        output.failure("CLI_KEY", what, "put the gateway's key alone into a file");
        exit::usage()
    })?;
    let prompt = prompt(&args.prompt).ok_or_else(|| {
        output.failure(
            "CLI_PROMPT",
            "no text to send",
            "give the prompt as an argument, or - and text on stdin",
        );
        exit::usage()
    })?;
    let verifier = fetch::verifier(&args.to, &args.reach).map_err(|error| fail(&error))?;
    let mut channel = verifier.connect().await.map_err(|error| fail(&error))?;
    let verdict = Verdict { url: &args.to, policy: Some(verifier.policy()), result: Ok(&channel) };
    output.talk(&verdict.first_line(|mark, text| output.marked_err(mark, text)));
    for waiver in verifier.policy().waivers() {
        output.talk(&format!("  loosened    {}: {}", waiver.rule, printable(&waiver.reason)));
    }
    let model = match &args.model {
        Some(model) => model.clone(),
        None => first_model(&mut channel, key.as_ref(), output).await?,
    };
    let body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": prompt }],
        "stream": true,
    });
    let request = Request::post("/v1/chat/completions").header(CONTENT_TYPE, "application/json");
    let answer = send(&mut channel, request, full_body(body.to_string()), key.as_ref(), output).await?;
    stream(answer.into_body(), output).await
}

fn prompt(argument: &str) -> Option<String> {
    if argument != "-" {
        return Some(argument.to_owned()).filter(|text| !text.is_empty());
    }
    let mut text = String::new();
    std::io::stdin().take(MAX_PROMPT_BYTES).read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

async fn first_model(
    channel: &mut VerifiedChannel,
    key: Option<&GatewayKey>,
    output: &Output,
) -> Result<String, ExitCode> {
    let answer = send(channel, Request::get("/v1/models"), empty_body(), key, output).await?;
    let bytes = whole(answer).await.map_err(|error| {
        output.error(&error);
        exit::of(error.outcome())
    })?;
    let listed: Option<Value> = serde_json::from_slice(&bytes).ok();
    let first = listed.as_ref().and_then(|list| list.pointer("/data/0/id")).and_then(Value::as_str);
    first.map(str::to_owned).ok_or_else(|| {
        output.failure("GW_NO_MODEL", "the gateway lists no model", "name one with --model");
        exit::usage()
    })
}

async fn send(
    channel: &mut VerifiedChannel,
    mut request: http::request::Builder,
    body: ChannelBody,
    key: Option<&GatewayKey>,
    output: &Output,
) -> Result<Response<VerifiedBody>, ExitCode> {
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, key.header());
    }
    let Ok(request) = request.body(body) else { return Err(exit::usage()) };
    let settled = channel.ready().await.map_err(|error| (error, None));
    let sent = match settled {
        Ok(()) => channel.send(request).await.map_err(|failure| (failure.error, failure.unsent)),
        Err(failed) => Err(failed),
    };
    match sent {
        Ok(answer) if answer.status() == StatusCode::OK => Ok(answer),
        Ok(answer) => Err(refused(answer, output).await),
        Err((error, _)) => {
            output.error(&error);
            Err(exit::of(error.outcome()))
        }
    }
}

/// The gateway's own refusal: its code and status, not its prose.
async fn refused(answer: Response<VerifiedBody>, output: &Output) -> ExitCode {
    let status = answer.status();
    let body: Option<Value> = whole(answer).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let code = body.as_ref().and_then(|body| body.pointer("/error/code")).and_then(Value::as_str);
    let message = body.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
    let what = format!(
        "the gateway answered {}{}",
        status.as_u16(),
        message.map(|message| format!(": {message}")).unwrap_or_default()
    );
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "give the gateway's key with --key-file FILE or POSTERN_API_KEY"
        }
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => "check the model with --model",
        _ => "try again later",
    };
    output.failure(&printable(code.unwrap_or("GW_ERROR")), &what, hint);
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        exit::usage()
    } else {
        exit::undecided()
    }
}

async fn whole(answer: Response<VerifiedBody>) -> Result<Bytes, Error> {
    match Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(error
            .downcast::<Error>()
            .map_or_else(|_| Error::Truncated(postern_client::error::Truncation::Body), |error| *error)),
    }
}

/// Prints each piece of the answer as it comes. The end counts only if the stream says that it is complete.
async fn stream(mut body: VerifiedBody, output: &Output) -> Result<(), ExitCode> {
    let to_terminal = std::io::stdout().is_terminal();
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            output.data("\n");
            output.error(&error);
            exit::of(error.outcome())
        })?;
        let Ok(data) = frame.into_data() else { continue };
        events.buffer.extend_from_slice(&data);
        if events.buffer.len() > MAX_EVENT_BYTES {
            output.failure("GW_EVENT_SIZE", "an event of the answer is too long", "try again");
            return Err(exit::undecided());
        }
        while let Some(event) = events.next() {
            match event {
                Event::Text(text) if to_terminal => output.data(&printable_text(&text)),
                Event::Text(text) => output.data(&text),
                Event::Failed(code) => {
                    output.data("\n");
                    let what = "the gateway ended the answer with an error";
                    output.failure(&printable(&code), what, "what was printed is incomplete: ask again");
                    return Err(exit::undecided());
                }
                Event::Other => {}
            }
        }
    }
    output.data("\n");
    Ok(())
}

/// Cuts a stream into events.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
}

enum Event {
    Failed(String),
    Other,
    Text(String),
}

impl Events {
    /// The next whole line, if it has come.
    fn next(&mut self) -> Option<Event> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        let event = line
            .strip_prefix(b"data:")
            .and_then(|data| serde_json::from_slice::<Value>(data.trim_ascii()).ok());
        let Some(event) = event else { return Some(Event::Other) };
        if let Some(error) = event.get("error") {
            let code = error.get("code").and_then(Value::as_str).unwrap_or("GW_ERROR");
            return Some(Event::Failed(code.to_owned()));
        }
        let text = event.pointer("/choices/0/delta/content").and_then(Value::as_str);
        Some(text.map_or(Event::Other, |text| Event::Text(text.to_owned())))
    }
}

const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
const MAX_PROMPT_BYTES: u64 = 16 * 1024 * 1024;
