//! Any two cuts give the same events, and together they are the input.
#![no_main]

use gateway::wire::sse::Splitter;
use libfuzzer_sys::fuzz_target;

fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new();
    let mut events = Vec::new();
    for piece in pieces {
        splitter.buffer().extend_from_slice(piece);
        while let Ok(Some(event)) = splitter.next_event() {
            let layout = event.layout();
            assert_eq!(
                layout.data_lines == 0,
                event.data(&layout, &mut Vec::new()).is_empty() && layout.data.is_none()
            );
            event.append_without_comments(&mut Vec::new());
            events.push(event.raw.to_vec());
        }
    }
    events.extend(splitter.last_event().map(|event| event.raw.to_vec()));
    events
}

fuzz_target!(|input: (u16, u16, &[u8])| {
    let (first, second, bytes) = input;
    let whole = split(&[bytes]);
    let (low, high) = (usize::from(first.min(second)), usize::from(first.max(second)));
    let (low, high) = (low.min(bytes.len()), high.min(bytes.len()));
    assert_eq!(split(&[&bytes[..low], &bytes[low..high], &bytes[high..]]), whole);
    let joined = whole.concat();
    assert!(bytes.starts_with(&joined) || joined.len() <= bytes.len());
});
