//! Hostile bytes as request, reply and document: whatever decodes must encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link::{EndorsementDocument, Reply, Request};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((request, used))) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes[..used]);
    }
    if let Ok(Some((reply, used))) = Reply::decode(bytes) {
        assert_eq!(reply.encode(), bytes[..used]);
    }
    if let Ok(document) = EndorsementDocument::decode(bytes) {
        assert_eq!(document.encode().as_deref(), Ok(bytes));
    }
});
