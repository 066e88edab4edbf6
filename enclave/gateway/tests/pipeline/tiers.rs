//! What an exchange costs besides tokens times the usual price: tiers of service, searches of the web, and what the provider
//! itself says.

use gateway::Gateway;

use crate::cost::{body, deployment, series};
use crate::fake::{CHAT, FakeUpstream, Reply, ask, collect, gateway_with, text};
use crate::golden::event_stream;

/// An answer whole, and the same streamed.
type Answer = (String, Reply);

/// Prices by tier of service; the usual ones share no factor with the others.
const TIERS: &str = r#"price = { input = "2", output = "11", per_search = "0.01", tiers = { flex = { input = "1", output = "5" }, priority = { input = "3", output = "17" } } }"#;

/// One answer whole and streamed: what both say it costs.
fn told(gateway: &Gateway, path: &str, whole: &str, stream: Reply) -> [Option<String>; 2] {
    let ask_for = |stream: bool| match path {
        CHAT => body(stream),
        _ => format!(r#"{{"model":"priced","stream":{stream},"input":"Hi"}}"#),
    };
    let answer = ask(gateway, &FakeUpstream::new([Reply::json(200, whole)]), path, ask_for(false));
    let answer = answer.unwrap_or_else(|error| panic!("{whole}: {error}"));
    let header =
        |wanted: &str| answer.headers.iter().find(|(name, _)| *name == wanted).map(|(_, own)| own.clone());
    assert_eq!(header("postern-price-unknown"), None);
    let whole = header("postern-cost-usd");
    let streamed =
        collect(ask(gateway, &FakeUpstream::new([stream]), path, ask_for(true)).expect("an answer")).0;
    let streamed = text(&streamed);
    let comment = streamed.split(": postern-cost-usd ").nth(1).and_then(|rest| rest.lines().next());
    [whole, comment.map(str::to_owned)]
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

const ONE: &str = r#""choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]"#;

fn chat(tier: &str) -> Answer {
    let usage = r#""usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}"#;
    let whole = format!(
        r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"service_tier":{tier},{usage}}}"#
    );
    let end = r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#;
    let stream = event(&format!(r#"{{"id":"1","service_tier":{tier},{ONE}}}"#))
        + &event(&format!(r#"{{"id":"1","service_tier":{tier},{end},{usage}}}"#))
        + "data: [DONE]\n\n";
    (whole, Reply::stream(vec![stream.into()]))
}

fn responses(tier: &str) -> Answer {
    let whole = format!(
        r#"{{"id":"r","status":"completed","model":"m","service_tier":{tier},"output":[{{"type":"web_search_call","id":"w"}},{{"type":"message","content":[{{"type":"output_text","text":"x"}}]}}],"usage":{{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}}}}"#
    );
    let stream = format!(
        "event: response.completed\n{}",
        event(&format!(r#"{{"type":"response.completed","response":{whole}}}"#))
    );
    (whole, Reply::stream(vec![stream.into()]))
}

fn anthropic(tier: &str) -> Answer {
    let usage = format!(
        r#""usage":{{"input_tokens":1000,"output_tokens":100,"server_tool_use":{{"web_search_requests":1}},"service_tier":{tier}}}"#
    );
    let whole = format!(
        r#"{{"id":"1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"x"}}],"stop_reason":"end_turn",{usage}}}"#
    );
    let stream = [
        format!(r#"{{"type":"message_start","message":{{"id":"1","model":"m","content":[],{usage}}}}}"#),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"x"}}"#.to_owned(),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":100}}"#
            .to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
    ];
    let named =
        |data: &String| format!("event: {}\n{}", data.split('"').nth(3).expect("a type"), event(data));
    (whole, Reply::stream(vec![stream.iter().map(named).collect::<String>().into()]))
}

fn bedrock(tier: &str) -> Answer {
    let end = format!(
        r#""usage":{{"inputTokens":1000,"outputTokens":100,"totalTokens":1100}},"metrics":{{"latencyMs":1}},"serviceTier":{{"type":{tier}}}"#
    );
    let whole = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"x"}}]}}}},"stopReason":"end_turn",{end}}}"#
    );
    let lines = format!(
        "event messageStart {{\"role\":\"assistant\"}}\nevent contentBlockDelta {{\"contentBlockIndex\":0,\"delta\":{{\"text\":\"x\"}}}}\nevent messageStop {{\"stopReason\":\"end_turn\"}}\nevent metadata {{{end}}}\n"
    );
    (whole, Reply::of(200, "application/vnd.amazon.eventstream", vec![event_stream(lines.as_bytes())]))
}

fn google(tier: &str) -> Answer {
    let word = match tier {
        "\"default\"" => "ON_DEMAND".to_owned(),
        tier => format!("ON_DEMAND_{}", tier.trim_matches('"').to_uppercase()),
    };
    let whole = format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"x"}}]}},"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":1000,"candidatesTokenCount":100,"totalTokenCount":1100,"trafficType":"{word}"}}}}"#
    );
    let stream = Reply::stream(vec![event(&whole).into()]);
    (whole, stream)
}

#[test]
fn a_tier_of_service_has_its_own_price_streamed_or_not() {
    let providers: [(&str, &str, fn(&str) -> Answer, u64); 6] = [
        ("openai", CHAT, chat, 0),
        ("azure_openai", CHAT, chat, 0),
        ("openai", "/v1/responses", responses, 1),
        ("anthropic", CHAT, anthropic, 1),
        ("bedrock", CHAT, bedrock, 0),
        ("vertex", CHAT, google, 0),
    ];
    for (provider, path, answers, searches) in providers {
        for (tier, nano) in [("\"default\"", 3_100_000), ("\"flex\"", 1_500_000), ("\"priority\"", 4_700_000)]
        {
            let gateway = gateway_with(&deployment(provider, TIERS));
            let (whole, stream) = answers(tier);
            let cost = gateway::price::NanoUsd(nano + searches * 10_000_000).to_string();
            let both = told(&gateway, path, &whole, stream);
            assert_eq!(both, [Some(cost.clone()), Some(cost)], "{provider} {path} {tier}");
        }
    }
}

#[test]
fn a_tier_that_the_catalogue_has_no_price_for_is_an_alarm() {
    let more = "[deployments.priced]\nprovider = \"openai\"\nmodel = \"gpt-5\"\ncredential = \"test:main\"\n[models.priced]\ndeployments = [\"priced\"]\n";
    let answer = |tier: &str| {
        format!(
            r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"service_tier":"{tier}","usage":{{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}}}"#
        )
    };
    for (tier, cost) in [
        ("default", Some("0.002250000")),
        ("flex", Some("0.001125000")),
        ("priority", Some("0.004500000")),
        ("express", None),
    ] {
        let gateway = gateway_with(more);
        let upstream = FakeUpstream::new([Reply::json(200, answer(tier))]);
        let headers = ask(&gateway, &upstream, CHAT, body(false)).expect("an answer").headers;
        let told =
            headers.iter().find(|(name, _)| *name == "postern-cost-usd").map(|(_, value)| value.as_str());
        assert_eq!(told, cost, "{tier}");
        assert_eq!(series(&gateway).price_unknown, u64::from(cost.is_none()));
    }
}

#[test]
fn a_cost_that_the_provider_reports_counts_where_it_is_believed() {
    let chat = |usage: &str| {
        let usage =
            format!(r#""usage":{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,{usage}}}"#);
        let whole = format!(
            r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],{usage}}}"#
        );
        let stream =
            event(r#"{"id":"1","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#)
                + &event(&format!(r#"{{"id":"1","choices":[],{usage}}}"#))
                + "data: [DONE]\n\n";
        (whole, Reply::stream(vec![stream.into()]))
    };
    let priced = r#"price = { input = "1", output = "2" }"#;
    let (believed, computed) = (Some("0.000420000".to_owned()), Some("0.000020000".to_owned()));
    for (provider, usage, more, cost) in [
        ("openrouter", r#""cost":4.2e-4,"is_byok":false"#, "", &believed),
        ("openrouter", r#""cost":0.00042"#, priced, &computed),
        ("openrouter", r#""cost":0.00042"#, &format!("cost_source = \"reported\"\n{priced}"), &believed),
        ("openrouter", r#""cost":null"#, &format!("cost_source = \"reported\"\n{priced}"), &computed),
        ("openrouter", r#""x":0"#, "", &None),
        ("perplexity", r#""cost":{"request_cost":0.0004,"total_cost":0.00042}"#, "", &believed),
        ("x_ai", r#""cost_in_usd_ticks":4200000"#, "", &believed),
        ("openai", r#""cost":0.00042"#, priced, &computed),
    ] {
        let gateway = gateway_with(&deployment(provider, more));
        let (whole, stream) = chat(usage);
        assert_eq!(
            told(&gateway, CHAT, &whole, stream),
            [cost.clone(), cost.clone()],
            "{provider} {usage} {more}"
        );
    }
}
