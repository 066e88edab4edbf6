//! Requests of `postern appraise`: an answer to everything, accepted only with a root of the vendors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_client::appraise::{Depth, appraise};

fuzz_target!(|bytes: &[u8]| {
    let (short, long) = (appraise(bytes, Depth::Decide).answer, appraise(bytes, Depth::Explain).answer);
    assert_eq!((short.verdict, short.code, short.authentic), (long.verdict, long.code, long.authentic));
    assert!(short.to_json().is_ok());
});
