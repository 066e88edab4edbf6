#![no_main]
//! Challenge and bind messages: whatever is accepted was canonical.
use attestation::binding::{BindRequest, BindResponse, ChallengeRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = ChallengeRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(request) = BindRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok(response) = BindResponse::decode(bytes) {
        assert_eq!(response.encode(), bytes);
    }
});
