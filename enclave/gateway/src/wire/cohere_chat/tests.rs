use super::*;
use crate::chat::Delta;
use crate::wire::dialect::StreamFailure;

const STREAM: &str = "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"c1\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}\n\n\
: a comment\n\n\
event: tool-plan-delta\ndata: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"I will look.\"}}}\n\n\
event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"sent\",\"arguments\":\"\"}}}}}\n\n\
event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"{\\\"c\\\":\\\"K\u{f6}ln\\\"}\"}}}}}\n\n\
event: tool-call-end\ndata: {\"type\":\"tool-call-end\",\"index\":0}\n\n\
event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":2,\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"b\",\"function\":{\"name\":\"other\"}}}}}\n\n\
event: citation-start\ndata: {\"type\":\"citation-start\",\"index\":0,\"delta\":{\"message\":{\"citations\":{\"start\":0,\"end\":1,\"text\":\"x\",\"sources\":[]}}}}\n\n\
event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TOOL_CALL\",\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":7},\"tokens\":{\"input_tokens\":60,\"output_tokens\":9}}}}\n\n\
data: [DONE]\n\n";

fn told(stream: &[u8], piece: usize) -> (String, Option<StreamFailure>) {
    let mut reader = CohereChat.stream_reader(ToolNames::pair("sent", "or.iginal"));
    let mut deltas = Vec::new();
    let mut failure = None;
    for bytes in stream.chunks(piece) {
        failure = failure.or_else(|| reader.feed(bytes, &mut deltas).err());
    }
    failure = failure.or_else(|| reader.finish(&mut deltas).err());
    let text = deltas.iter().map(|delta| match delta {
        Delta::Begin { id, .. } => format!("begin {id}"),
        Delta::Citation { citation, .. } => format!(" cites {} {:?}", citation.url, citation.span),
        Delta::Finish { reason, .. } => format!("finish {reason:?}"),
        Delta::Reasoning { thought, .. } => format!("thought {}", thought.text),
        Delta::Refusal { .. } => "refusal".to_owned(),
        Delta::Text { text, .. } => format!("text {text}"),
        Delta::ToolArguments { call, json, .. } => format!("arguments {call} {json}"),
        Delta::ToolCall { call, id, name, .. } => format!("call {call} {id} {name}"),
        Delta::Usage(usage) => {
            format!("usage {} {} {}", usage.input_tokens, usage.output_tokens, usage.total_tokens)
        }
    });
    (text.collect::<Vec<_>>().join("\n"), failure)
}

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    let wanted = "begin c1\nthought I will look.\ncall 0 a or.iginal\narguments 0 {\"c\":\"K\u{f6}ln\"}\ncall 1 b other\n\
        usage 5 7 69\nfinish ToolCalls";
    for piece in [1, 2, 3, 7, 64, STREAM.len()] {
        assert_eq!(told(STREAM.as_bytes(), piece), (wanted.to_owned(), None), "{piece}");
    }
}

#[test]
fn a_stream_without_its_end_is_cut_off_and_a_failure_is_none() {
    let end = STREAM.find("event: message-end").expect("there");
    assert_eq!(told(&STREAM.as_bytes()[..end], 9).1, Some(StreamFailure::Truncated));
    let without_line = STREAM.trim_end().strip_suffix("data: [DONE]").expect("there").trim_end();
    assert_eq!(told(without_line.as_bytes(), 9).1, None, "no empty line at the end");
    for (event, status) in [
        (r#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"x"}}"#, 502),
        (r#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#, 504),
        (r#"{"id":"1","message":"too many"}"#, 502),
    ] {
        let failure = told(format!("data: {event}\n\n").as_bytes(), 9).1;
        assert_eq!(failure, Some(StreamFailure::Reported { status }), "{event}");
    }
    assert_eq!(told(b"data: {\n\n", 9).1, Some(StreamFailure::Malformed));
}

#[test]
fn whole_answers_that_failed_are_not_answers() {
    let read = |body: &str| CohereChat.read_answer(body.as_bytes(), &ToolNames::default()).is_ok();
    assert!(read(
        r#"{"id":"1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"x"}]}}"#
    ));
    assert!(!read(r#"{"id":"1","finish_reason":"ERROR","message":{"role":"assistant","content":[]}}"#));
    assert!(!read(r#"{"message":"x"}"#));
}
