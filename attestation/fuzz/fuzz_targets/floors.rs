#![no_main]
//! Floors files.
use attestation::floors::TcbFloors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(floors) = TcbFloors::parse(bytes) {
        assert!(floors.issued_at <= floors.valid_until);
    }
});
