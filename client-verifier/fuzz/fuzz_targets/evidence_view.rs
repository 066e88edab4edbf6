//! Evidence in words: bytes are shown or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(view) = postern_client::evidence_view::view(bytes) {
        assert!(!view.parts.is_empty());
    }
});
