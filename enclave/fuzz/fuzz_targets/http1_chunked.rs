//! Hostile bytes as a chunked body: any cut gives the same payload, end and verdict as no cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_enclave::http1::ChunkedDecoder;

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(cut.checked_rem(bytes.len().max(1)).unwrap_or(0));
    let (mut whole, mut expected) = (ChunkedDecoder::default(), Vec::new());
    let once = whole.decode(bytes, &mut expected);
    let (mut parts, mut found) = (ChunkedDecoder::default(), Vec::new());
    let twice = parts.decode(first, &mut found).and_then(|used| {
        Ok(used + if parts.is_done() { 0 } else { parts.decode(second, &mut found)? })
    });
    assert_eq!(once, twice);
    if once.is_ok() {
        assert_eq!((expected, whole.is_done()), (found, parts.is_done()));
    }
});
