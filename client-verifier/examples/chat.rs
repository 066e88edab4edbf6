//! One prompt, one answer: `cargo run --example chat -- https://gateway.example policy.toml KEY MODEL "Say hello"`

use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt;
use postern_client::{connect, full_body, policy_file};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example's output is its point")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, file, key, model, prompt] = args.as_slice() else {
        return Err("five arguments, see the source".into());
    };
    let mut channel = connect(url, policy_file::load(file.as_ref())?).await?;
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] });
    let request = Request::post("/v1/chat/completions")
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .header(CONTENT_TYPE, "application/json")
        .body(full_body(body.to_string()))?;
    let answer = channel.send(request).await.map_err(|failure| failure.error)?;
    println!("{}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    Ok(())
}
