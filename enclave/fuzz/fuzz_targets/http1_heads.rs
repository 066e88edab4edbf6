//! Hostile bytes as request and response heads: what is complete stays the same whatever follows it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_enclave::http1::{head::parse_request, response::parse_response};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(whole)) = parse_request(bytes) {
        let alone = parse_request(&bytes[..whole.length]).unwrap().unwrap();
        assert_eq!((whole.method, whole.path, whole.framing), (alone.method, alone.path, alone.framing));
        assert!(whole.path.starts_with('/'));
    }
    if let Ok(Some(whole)) = parse_response(bytes) {
        let alone = parse_response(&bytes[..whole.length]).unwrap().unwrap();
        assert_eq!((whole.status, whole.framing, whole.reusable), (alone.status, alone.framing, alone.reusable));
    }
});
