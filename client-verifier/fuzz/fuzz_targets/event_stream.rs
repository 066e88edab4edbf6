//! However a stream is cut, the answer to "is it complete?" is the same, and a plain search agrees.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_client::channel::event_stream::{EventStream, Terminal};

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, bytes) = input;
    let mut whole = EventStream::new(Terminal::Done);
    whole.feed(bytes);
    let mut pieces = EventStream::new(Terminal::Done);
    for piece in bytes.chunks(usize::from(cut).max(1)) {
        pieces.feed(piece);
    }
    assert_eq!(whole.is_complete(), pieces.is_complete());
    let ended = bytes.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let lines = ended.map_or(&[][..], |end| &bytes[..end]);
    let found = ended.is_some()
        && lines
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .any(|line| line == b"data: [DONE]" || line == b"data:[DONE]");
    assert_eq!(whole.is_complete(), found);
});
