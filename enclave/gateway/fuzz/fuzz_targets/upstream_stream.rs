//! Whatever an upstream of another dialect sends, in whatever pieces: the same deltas for every cut, or the same failure.
#![no_main]

use gateway::chat::Delta;
use gateway::chat::tool_names::ToolNames;
use gateway::wire::bedrock_converse::BedrockConverse;
use gateway::wire::dialect::{Dialect, StreamFailure};
use gateway::wire::gemini::Gemini;
use gateway::wire::openai_responses::OpenAiResponses;
use libfuzzer_sys::fuzz_target;

const DIALECTS: [&dyn Dialect; 3] = [&BedrockConverse, &Gemini, &OpenAiResponses];

fn read(dialect: &dyn Dialect, pieces: &[&[u8]]) -> (usize, Option<StreamFailure>) {
    let mut reader = dialect.stream_reader(ToolNames::default());
    let mut deltas: Vec<Delta> = Vec::new();
    for piece in pieces {
        if let Err(failure) = reader.feed(piece, &mut deltas) {
            return (deltas.len(), Some(failure));
        }
    }
    let failure = reader.finish(&mut deltas).err();
    (deltas.len(), failure)
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (which, cut, bytes) = input;
    let dialect = DIALECTS[usize::from(which) % DIALECTS.len()];
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(read(dialect, &[first, second]), read(dialect, &[bytes]));
    let _answer = dialect.read_answer(bytes, &ToolNames::default()).is_ok();
});
