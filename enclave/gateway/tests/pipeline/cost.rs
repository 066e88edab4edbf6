//! Money: what an exchange costs is the same whether it was streamed or not, for every provider there is.
//!
//! `tests/cost/<provider>/`, or else `tests/cost/<dialect>/` of the dialect it speaks to a chat client, holds one answer
//! twice, `whole.json` and `stream.sse` (or `stream.events`), in the provider's own form, and what it costs at [`PRICE`] in
//! `cost.txt`. A new provider without either folder fails here.

#![expect(clippy::disallowed_methods, reason = "test cases are files")]

use std::fs;
use std::path::{Path, PathBuf};

use gateway::metrics::Series;
use gateway::wire::openai_chat::OpenAiChat;
use gateway::{Gateway, provider};

use crate::fake::{CHAT, FakeUpstream, Reply, ask, collect, gateway_with, text};
use crate::golden::event_stream;

/// Dollars for a million tokens, by class; no two classes can be mixed up without changing the sum.
const PRICE: &str = r#"price = { input = "2", cached_input = "0.3", cache_write_5m = "5", cache_write_1h = "7", output = "11", reasoning = "13" }"#;

/// What a provider's deployment needs besides a model and an address.
fn more(provider: &str) -> &'static str {
    match provider {
        "azure_openai" => "credential = \"test:main\"\napi_version = \"2024-10-21\"",
        "vertex" => "credential = \"test:google\"\nproject = \"postern-test\"\nregion = \"eu\"",
        _ => "credential = \"test:main\"",
    }
}

pub(crate) fn deployment(provider: &str, price: &str) -> String {
    let address = match provider {
        "bedrock" => "https://bedrock-runtime.eu-west-1.amazonaws.com",
        _ => "http://127.0.0.1:9/v1",
    };
    let own =
        format!("provider = \"{provider}\"\nmodel = \"m\"\nbase_url = \"{address}\"\n{}", more(provider));
    format!("[deployments.priced]\n{own}\n{price}\n[models.priced]\ndeployments = [\"priced\"]\n")
}

/// The provider's answers, and the content type of its streams.
fn answers(provider: &str, gateway: &Gateway) -> (PathBuf, &'static str) {
    let model = gateway.models().find("priced").expect("configured");
    let at = model.deployments().next().expect("it has one").clone();
    let dialect = provider::find(provider).expect("registered").speaks(&OpenAiChat, &at);
    let cost = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cost");
    let folder =
        [provider, dialect.name()].map(|name| cost.join(name)).into_iter().find(|folder| folder.exists());
    let folder =
        folder.unwrap_or_else(|| panic!("{provider} ({}) has no folder in tests/cost", dialect.name()));
    (folder, dialect.stream_type())
}

fn folder(provider: &str) -> PathBuf {
    answers(provider, &gateway_with(&deployment(provider, PRICE))).0
}

fn stream(folder: &Path) -> Vec<u8> {
    if folder.join("stream.events").exists() {
        return event_stream(&read(folder, "stream.events"));
    }
    read(folder, "stream.sse")
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|_| panic!("{}/{name} is missing", folder.display()))
}

pub(crate) fn body(stream: bool) -> String {
    format!(
        r#"{{"model":"priced","stream":{stream},"max_tokens":9,"messages":[{{"role":"user","content":"Hi"}}]}}"#
    )
}

#[test]
fn a_streamed_answer_costs_what_the_same_buffered_answer_costs() {
    let mut providers = 0;
    for name in provider::names().filter(|name| *name != "builtin") {
        let gateway = gateway_with(&deployment(name, PRICE));
        let (folder, stream_type) = answers(name, &gateway);
        let cost = text(&read(&folder, "cost.txt")).trim().to_owned();

        let whole = Reply::json(200, read(&folder, "whole.json"));
        let whole = ask(&gateway, &FakeUpstream::new([whole]), CHAT, body(false));
        let whole = whole.unwrap_or_else(|error| panic!("{name}: {error}"));
        let told = whole.headers.iter().find(|(header, _)| *header == "postern-cost-usd");
        assert_eq!(told.map(|(_, value)| value.as_str()), Some(cost.as_str()), "{name}, whole");

        // In pieces that respect no boundary.
        let pieces = stream(&folder).chunks(7).map(<[u8]>::to_vec).collect();
        let streamed = Reply::of(200, stream_type, pieces);
        let streamed = ask(&gateway, &FakeUpstream::new([streamed]), CHAT, body(true));
        let streamed = streamed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let told = text(&collect(streamed).0);
        assert_eq!(told.matches(&format!(": postern-cost-usd {cost}\n\n")).count(), 1, "{name}: {told}");

        let (records, _) = gateway.books().journal.take();
        let [whole, streamed] = &records[..] else { panic!("{name}: two exchanges were settled") };
        assert_eq!(whole.usage, streamed.usage, "{name}");
        assert_eq!(whole.cost_nano_usd.map(|cost| cost.to_string()), Some(cost), "{name}");
        assert_eq!(whole.cost_nano_usd, streamed.cost_nano_usd, "{name}");
        providers += 1;
    }
    assert!(providers >= 8, "providers were found");
}

/// The only series of a gateway that served one kind of request.
pub(crate) fn series(gateway: &Gateway) -> Series {
    let mut all = gateway.books().metrics.snapshot();
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

#[test]
fn an_unknown_price_is_an_alarm_and_never_zero() {
    let gateway = gateway_with(&deployment("openai", ""));
    let folder = folder("openai");
    let whole = Reply::json(200, read(&folder, "whole.json"));
    let whole = ask(&gateway, &FakeUpstream::new([whole]), CHAT, body(false)).expect("an answer");
    assert!(whole.headers.iter().all(|(name, _)| *name != "postern-cost-usd"));
    assert!(whole.headers.iter().any(|(name, value)| *name == "postern-price-unknown" && value == "true"));
    let streamed = Reply::stream(vec![read(&folder, "stream.sse")]);
    let streamed = ask(&gateway, &FakeUpstream::new([streamed]), CHAT, body(true)).expect("an answer");
    assert!(!text(&collect(streamed).0).contains("postern-cost-usd"));
    for record in gateway.books().journal.take().0 {
        assert!(record.usage.is_some() && record.cost_nano_usd.is_none());
        assert!(text(&record.to_json()).contains(r#""cost_nano_usd":null"#));
    }
    assert_eq!((series(&gateway).price_unknown, series(&gateway).cost_nano_usd), (2, 0));
}

#[test]
fn a_known_price_is_counted_and_a_cached_answer_costs_nothing() {
    let more = "[cache]\nexact = { ttl_seconds = 60, max_bytes = 65536 }\n";
    let gateway = gateway_with(&format!("{}{more}", deployment("openai", PRICE)));
    let folder = folder("openai");
    let upstream = FakeUpstream::new([Reply::json(200, read(&folder, "whole.json"))]);
    let costs: Vec<String> = (0..2)
        .map(|_| ask(&gateway, &upstream, CHAT, body(false)).expect("an answer"))
        .map(|answer| {
            answer.headers.into_iter().find(|(name, _)| *name == "postern-cost-usd").expect("known").1
        })
        .collect();
    assert_ne!(costs[0], costs[1]);
    assert_eq!(costs[1], "0.000000000");
    let all = gateway.books().metrics.snapshot();
    let counted: u64 = all.iter().map(|(_, series)| series.cost_nano_usd).sum();
    assert_eq!(gateway::price::NanoUsd(counted).to_string(), costs[0]);
    assert!(all.iter().all(|(_, series)| series.price_unknown == 0));
}
