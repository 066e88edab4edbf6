//! Streams however they are cut: for every text and every cut of it and of the bytes, a stream says what the same answer
//! says buffered, and lets nothing out that the whole text would be refused for.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "fixtures of whole answers, and reading them as a client does"
)]

use gateway::wire::{WIRES, Wire};
use gateway::{Gateway, Step};
use proptest::prelude::*;

use crate::fake::{FakeUpstream, Piece, Reply, collect, text};
use crate::guardrails::{MAIL, MASKING, UPSTREAMS, answer, guarded, request, said, send};

const REDACTING: &str = "[guardrails.pii]\nkind = \"pii\"\naction = \"redact\"\nhooks = [\"output\"]\n[guardrails.secrets]\nkind = \"secrets\"\naction = \"redact\"\n[guardrails.words]\nkind = \"regex\"\npatterns = [\"a+nd?\", \"x.*y\"]\nwindow_bytes = 16\naction = \"redact\"\nhooks = [\"output\"]\n";
const BLOCKING: &str = "[guardrails.pii]\nkind = \"pii\"\nhooks = [\"output\"]\n[guardrails.secrets]\nkind = \"secrets\"\nhooks = [\"output\"]\n[guardrails.words]\nkind = \"deny_list\"\nphrases = [\"gh ij\", \"jane\"]\nhooks = [\"output\"]\n";

/// Fragments of which texts are made: plain words, entities, halves of entities, and what is like them.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,9}",
        Just(" ".to_owned()),
        Just(" and ".to_owned()),
        Just(MAIL.to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("4111 1111 1111 1112".to_owned()),
        Just("GB29 NWBK 6016 1331 9268 19".to_owned()),
        Just("+1 (415) 555-2671".to_owned()),
        Just("AKIAIOSFODNN7EXAMPLE".to_owned()),
        Just("password: Tr0ub4dor&3x".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----".to_owned()),
        Just("-----BEGIN PRIV".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("[[EMAIL_1_".to_owned()),
        Just("jane@".to_owned()),
        Just("\u{e9}\u{1f600}".to_owned()),
        Just("\"\\\n".to_owned()),
        "[0-9 .-]{1,8}",
    ]
}

/// A dialect of its own and as another's upstream answers in it.
fn spoken(which: usize) -> (&'static dyn Wire, &'static str, &'static str) {
    let (model, dialect) = UPSTREAMS[which % UPSTREAMS.len()];
    let wire = WIRES.iter().copied().find(|own| own.name() == dialect).unwrap();
    (wire, model, dialect)
}

fn cut(text: &str, cuts: &[usize]) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for cut in cuts.iter().cycle() {
        if at >= letters.len() {
            break;
        }
        let end = (at + cut).min(letters.len());
        pieces.push(letters[at..end].iter().collect::<String>());
        at = end;
    }
    pieces
}

/// The same bytes in packets of that length.
fn packed(reply: Reply, length: usize) -> Reply {
    let Reply::Response { headers, pieces, status } = reply else { panic!("a response") };
    let bytes = pieces.into_iter().flat_map(|own| match own {
        Piece::Bytes(bytes) => bytes,
        _ => Vec::new(),
    });
    let bytes: Vec<u8> = bytes.collect();
    let pieces = bytes.chunks(length).map(|own| Piece::Bytes(own.to_vec())).collect();
    Reply::Response { status, headers, pieces }
}

/// Text and arguments of an answer, and how it ended; nothing if it was refused before it began.
fn told(
    gateway: &Gateway,
    which: usize,
    asks: &str,
    says: &[String],
    arguments: &[String],
    packets: Option<usize>,
) -> Option<((String, String), Step, String)> {
    let (wire, model, dialect) = spoken(which);
    let stream = packets.is_some();
    let (path, body) = request(wire, model, asks, stream);
    let [says, arguments] = [says, arguments].map(|own| own.iter().map(String::as_str).collect::<Vec<_>>());
    let reply = answer(dialect, &says, &arguments, stream);
    let upstream =
        FakeUpstream::new([packets.map_or_else(|| reply.clone(), |length| packed(reply.clone(), length))]);
    let (got, step) = collect(send(gateway, &upstream, &path, body).ok()?);
    let got = text(&got);
    // What tells of a failure is no answer.
    let answer: String = got
        .split_inclusive("\n\n")
        .filter(|own| !own.contains("content_policy_violation") && !own.contains("\"error\""))
        .collect();
    Some((said(&answer), step, got))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_says_what_the_buffered_answer_says(
        parts in proptest::collection::vec(fragment(), 1..14),
        cuts in proptest::collection::vec(1..12_usize, 1..6),
        packets in 1..90_usize,
        which in 0..3_usize,
    ) {
        let says = parts.concat();
        let gateway = guarded(REDACTING);
        let whole = told(&gateway, which, "hi", std::slice::from_ref(&says), &[], None).expect("an answer").0;
        let (streamed, step, got) = told(&gateway, which, "hi", &cut(&says, &cuts), &[], Some(packets)).expect("an answer");
        prop_assert_eq!(step, Step::Complete, "{}", got);
        prop_assert_eq!(streamed, whole);
    }

    /// What goes out before a refusal is the answer's beginning, up to the first thing found in the whole text at most.
    #[test]
    fn nothing_goes_out_that_the_whole_text_is_refused_for(
        parts in proptest::collection::vec(fragment(), 1..14),
        cuts in proptest::collection::vec(1..12_usize, 1..6),
        packets in 1..90_usize,
        which in 0..3_usize,
    ) {
        let says = parts.concat();
        let gateway = guarded(BLOCKING);
        let whole = told(&gateway, which, "hi", std::slice::from_ref(&says), &[], None);
        let streamed = told(&gateway, which, "hi", &cut(&says, &cuts), &[], Some(packets));
        match (whole, streamed) {
            (Some((whole, ..)), Some((streamed, step, got))) => {
                prop_assert_eq!(step, Step::Complete, "{}", got);
                prop_assert_eq!(streamed, whole);
            }
            (None, Some(((out, _), step, got))) => {
                prop_assert_eq!(step, Step::Broken, "{}", got);
                prop_assert!(says.starts_with(&out), "{} is not how {} begins", out, says);
                let rewritten = guarded(&BLOCKING.replace("hooks", "action = \"redact\"\nhooks"));
                let redacted = told(&rewritten, which, "hi", std::slice::from_ref(&says), &[], None);
                let ((redacted, _), ..) = redacted.expect("an answer");
                prop_assert!(redacted.starts_with(&out), "{} went out of {}, which is {}", out, says, redacted);
            }
            (None, None) => {}
            (Some(_), None) => prop_assert!(false, "the stream is refused, and the answer is not: {}", says),
        }
    }

    /// Masks come off in text and in arguments of tools, wherever a placeholder is cut.
    #[test]
    fn masks_come_off_however_the_stream_is_cut(
        parts in proptest::collection::vec(prop_oneof![
            2 => fragment(),
            2 => Just("<1>".to_owned()),
            1 => Just("<2>".to_owned()),
            1 => Just("<half>".to_owned()),
        ], 1..10),
        cuts in proptest::collection::vec(1..12_usize, 1..6),
        packets in 1..90_usize,
        which in 0..3_usize,
    ) {
        let asks = format!("write to {MAIL} of 4111 1111 1111 1111");
        let (wire, model, _) = spoken(which);
        // The draw is the gateway's own: the first request of a fresh one always gets the same.
        let probe = FakeUpstream::new([Reply::json(500, "{}")]);
        let (path, body) = request(wire, model, &asks, false);
        drop(send(&guarded(MASKING), &probe, &path, body));
        let sent = text(&probe.sent.borrow()[0].body);
        let placeholder = |kind: &str| {
            let start = sent.find(kind).expect("a placeholder");
            sent[start..start + sent[start..].find("]]").expect("its end") + 2].to_owned()
        };
        let (mail, card) = (placeholder("[[EMAIL_1_"), placeholder("[[CARD_1_"));
        let written = parts.concat();
        let says = written.replace("<1>", &mail).replace("<2>", &card).replace("<half>", &mail[..mail.len() - 3]);
        let arguments = serde_json::json!({ "to": says, "n": [1, says] }).to_string();
        let whole = told(&guarded(MASKING), which, &asks, std::slice::from_ref(&says), std::slice::from_ref(&arguments), None);
        let ((text, call), ..) = whole.expect("an answer");
        let expected = written.replace("<1>", MAIL).replace("<2>", "4111 1111 1111 1111").replace("<half>", &mail[..mail.len() - 3]);
        prop_assert_eq!(&text, &expected);
        let call: serde_json::Value = serde_json::from_str(&call).expect("JSON");
        prop_assert_eq!(&call["to"], &expected);
        let streamed = told(&guarded(MASKING), which, &asks, &cut(&says, &cuts), &cut(&arguments, &cuts), Some(packets));
        let ((streamed, streamed_call), step, got) = streamed.expect("an answer");
        prop_assert_eq!(step, Step::Complete, "{}", got);
        prop_assert_eq!(streamed, text);
        let streamed_call: serde_json::Value = serde_json::from_str(&streamed_call).expect("JSON");
        prop_assert_eq!(streamed_call, call);
    }
}
