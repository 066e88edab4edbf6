//! The answer as it comes: `cargo run --example stream -- https://gateway.example policy.toml KEY MODEL "Say hello"`
//! The loop ends without an error only if the stream said that it was complete.

use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt;
use postern_client::{Target, Verifier, full_body, policy_file};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example's output is its point")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, file, key, model, prompt] = args.as_slice() else {
        return Err("five arguments, see the source".into());
    };
    // A verifier keeps evidence between channels; each channel is bound for itself.
    let verifier = Verifier::new(Target::parse(url)?, policy_file::load(file.as_ref())?)?;
    let mut channel = verifier.connect().await?;
    let body = json!({ "model": model, "stream": true, "messages": [{ "role": "user", "content": prompt }] });
    let request = Request::post("/v1/chat/completions")
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .header(CONTENT_TYPE, "application/json")
        .body(full_body(body.to_string()))?;
    let mut answer = channel.send(request).await.map_err(|failure| failure.error)?.into_body();
    while let Some(frame) = answer.frame().await {
        if let Ok(data) = frame?.into_data() {
            print!("{}", String::from_utf8_lossy(&data));
        }
    }
    Ok(())
}
