//! Whatever a client sends in a dialect that has to be translated: a request for each upstream, which is JSON, or an error.
#![no_main]

use gateway::Plaintext;
use gateway::wire::bedrock_converse::BedrockConverse;
use gateway::wire::dialect::{Dialect, Expressible, FrontDialect, Target};
use gateway::wire::gemini::Gemini;
use gateway::wire::openai_chat::OpenAiChat;
use gateway::wire::openai_responses::OpenAiResponses;
use gateway::wire::{Asked, Wire};
use libfuzzer_sys::fuzz_target;

const FRONTS: [(&dyn Wire, &dyn FrontDialect); 3] =
    [(&OpenAiChat, &OpenAiChat), (&OpenAiResponses, &OpenAiResponses), (&Gemini, &Gemini)];
const UPSTREAMS: [&dyn Dialect; 4] = [&BedrockConverse, &Gemini, &OpenAiChat, &OpenAiResponses];

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let (wire, front) = FRONTS[usize::from(which) % FRONTS.len()];
    let asked = Asked { model: Some("m".to_owned()), ..Asked::default() };
    let Ok(request) = wire.parse(asked, Plaintext::new(bytes.to_vec().into())) else { return };
    let Ok(conversation) = front.read_request(&request, &mut Expressible::default()) else { return };
    for upstream in UPSTREAMS {
        let target = Target { model: "anthropic.gemini-3", max_output_tokens: Some(4096) };
        let written = upstream.write_request(&conversation, &target, &mut Expressible::default());
        if let Ok(written) = written {
            serde_json::from_slice::<serde_json::Value>(written.body.expose()).expect("JSON");
        }
    }
});
