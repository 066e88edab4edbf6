use proptest::prelude::*;

use super::*;

/// Everything that comes out when the input arrives in these pieces: raw events, and the rest at the end.
fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new();
    let mut events = Vec::new();
    for piece in pieces {
        splitter.buffer().extend_from_slice(piece);
        while let Some(event) = splitter.next_event().expect("short") {
            events.push(event.raw.to_vec());
        }
    }
    events.extend(splitter.last_event().map(|event| event.raw.to_vec()));
    events
}

fn data(raw: &[u8]) -> Vec<u8> {
    let event = Event { raw };
    event.data(&event.layout(), &mut Vec::new()).to_vec()
}

const SAMPLES: &[&[u8]] = &[
    b"data: one\n\ndata: two\n\n",
    b"data: one\r\n\r\ndata: two\r\n\r\n",
    b"data: one\r\rdata: two\r\r",
    b"data: one\n\ndata: unfinished",
    b": comment\n\ndata: {\"a\":\"\xf0\x9f\x98\x80\"}\n\n",
    b"event: x\nid: 7\ndata: one\ndata: two\nretry: 10\n\n\n\n\ndata\n\n",
    b"\n\n\ndata: mixed\r\n\ndata: ends\r\n\r\r\ndata: x\n\r\ndata: y\r\r\n",
    b"\xef\xbb\xbfdata: mark\n\n",
    b"data: a\r\n\r\n: keep-alive\r\n\r\ndata: [DONE]\r\n\r\n",
];

#[test]
fn any_cut_gives_the_same_events() {
    for sample in SAMPLES {
        let whole = split(&[sample]);
        for cut in 0..=sample.len() {
            let (first, second) = sample.split_at(cut);
            assert_eq!(split(&[first, second]), whole, "cut at {cut} of {}", sample.escape_ascii());
        }
        let bytes: Vec<&[u8]> = sample.chunks(1).collect();
        assert_eq!(split(&bytes), whole, "byte by byte: {}", sample.escape_ascii());
    }
}

#[test]
fn finds_events_whatever_the_line_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text = format!("data: one{end}{end}data: two{end}data:three{end}{end}");
        let events = split(&[text.as_bytes()]);
        let texts: Vec<_> = events.iter().map(|raw| data(raw)).collect();
        assert_eq!(texts, [b"one".to_vec(), b"two\nthree".to_vec()]);
        assert_eq!(events.concat(), text.as_bytes(), "nothing is lost or changed");
    }
}

#[test]
fn events_come_out_as_soon_as_they_are_complete() {
    for text in ["data: one\n\n", "data: one\r\n\r\n", "data: one\r\r"] {
        let mut splitter = Splitter::new();
        splitter.buffer().extend_from_slice(text.as_bytes());
        let event = splitter.next_event().expect("short").map(|event| event.raw.to_vec());
        assert_eq!(event.as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn looks_at_lines() {
    let layout = |raw: &[u8]| Event { raw }.layout();
    assert!(layout(b": hello\n\n").comment);
    assert_eq!(layout(b": hello\n\n").data_lines, 0);
    assert!(layout(b"event: error\ndata: {}\n\n").named_error);
    assert_eq!(layout(b"data: a\ndata: b\n\n").data_lines, 2);
    assert_eq!(layout(b"database: a\n\n").data_lines, 0);
    assert_eq!(data(b"data:  two spaces\n\n"), b" two spaces");
    assert_eq!(data(b"\xef\xbb\xbfdata: mark\n\n"), b"mark");
    assert!(layout(b"data: a\n\n").terminated);
    assert!(layout(b"\n\ndata: a\r\n\r").terminated);
    assert!(!layout(b"\ndata: a\n").terminated);
    assert!(!layout(b"data: a").terminated);
}

#[test]
fn drops_comments_and_ends_events() {
    let event = Event { raw: b": a\r\ndata: x\r\n:b\r\nid: 7" };
    let mut out = Vec::new();
    event.append_without_comments(&mut out);
    assert_eq!(out, b"data: x\nid: 7\n\n");
}

#[test]
fn bounds_an_event() {
    let mut splitter = Splitter::new();
    splitter.buffer().extend_from_slice(b"data: ");
    splitter.buffer().resize(MAX_EVENT + 1, b'x');
    assert!(splitter.next_event().is_err());
    let mut at_once = Splitter::new();
    at_once.buffer().resize(MAX_EVENT, b'x');
    at_once.buffer().extend_from_slice(b"\n\n");
    assert!(at_once.next_event().is_err(), "whether it comes in one piece or not");
    let mut fits = Splitter::new();
    fits.buffer().resize(MAX_EVENT, b'x');
    assert!(matches!(fits.next_event(), Ok(None)));
}

#[test]
fn a_steady_stream_keeps_its_buffer() {
    let mut splitter = Splitter::new();
    for _ in 0..4 {
        splitter.buffer().extend_from_slice(b"data: something of a usual size\n\n");
        while splitter.next_event().expect("short").is_some() {}
    }
    let capacity = splitter.buffer().capacity();
    for _ in 0..10_000 {
        splitter.buffer().extend_from_slice(b"data: something of a usual size\n\n");
        while splitter.next_event().expect("short").is_some() {}
    }
    assert_eq!(splitter.buffer().capacity(), capacity);
}

proptest! {
    #[test]
    fn any_cuts_of_any_text_give_the_same_events(
        text in "(data: [a-z]{0,5}|: c|event: error|[a-z]{0,3}|\n|\r|\r\n){0,20}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = text.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(split(&pieces), split(&[bytes]));
    }

    #[test]
    fn never_panics_on_noise(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..5)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for raw in split(&pieces) {
            data(&raw);
        }
    }
}
