use super::*;
use crate::plaintext::Secret;
use crate::provider::path::segment;

fn keys() -> AwsKeys {
    AwsKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        session_token: None,
    }
}

/// `get-vanilla` of the AWS Signature Version 4 test suite.
#[test]
fn the_vanilla_request_of_the_test_suite() {
    let request = Unsigned {
        method: "GET",
        path: "/",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
        payload_sha256: &sha256(b""),
    };
    let scope = Scope { region: "us-east-1", service: "service" };
    let value = authorization(&request, scope, &keys(), "20150830T123600Z");
    assert_eq!(
        *value,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

/// `post-vanilla` of the same suite.
#[test]
fn the_vanilla_post_of_the_test_suite() {
    let request = Unsigned {
        method: "POST",
        path: "/",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
        payload_sha256: &sha256(b""),
    };
    let scope = Scope { region: "us-east-1", service: "service" };
    let value = authorization(&request, scope, &keys(), "20150830T123600Z");
    assert!(value.ends_with("Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"));
}

#[test]
fn times_are_written_in_the_civil_calendar() {
    for (seconds, written) in [
        (0, "19700101T000000Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (951_868_800, "20000301T000000Z"),
        (1_440_938_160, "20150830T123600Z"),
        (4_102_444_799, "20991231T235959Z"),
    ] {
        assert_eq!(timestamp(seconds), written);
    }
}

#[test]
fn a_segment_is_encoded_once_for_the_wire_and_once_more_to_sign() {
    let segment = segment("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1:0");
    assert_eq!(segment, "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x-v1%3A0");
    assert_eq!(encoded_path("/model/x%3A0/converse"), "/model/x%253A0/converse");
}

/// Computed with botocore 1.44's `SigV4Auth` for the same request, keys and time.
#[test]
fn a_call_with_temporary_keys_is_signed_as_by_botocore() {
    let keys = AwsKeys { session_token: Some(Secret::new("TOKEN/+=".to_owned())), ..keys() };
    let request = Unsigned {
        method: "POST",
        path: "/model/eu.anthropic.claude-x-v1%3A0/converse",
        headers: &[
            ("content-type", "application/json"),
            ("host", "bedrock-runtime.eu-west-1.amazonaws.com"),
            ("x-amz-date", "20261121T065000Z"),
            ("x-amz-security-token", keys.session_token.as_ref().unwrap().expose()),
        ],
        payload_sha256: &sha256(br#"{"messages":[]}"#),
    };
    let scope = Scope { region: "eu-west-1", service: "bedrock" };
    let value = authorization(&request, scope, &keys, &timestamp(1_795_243_800));
    assert_eq!(
        *value,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-west-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
         Signature=62e2438ca155a3c23030e169d56be4699d225d6413f268912713b4c9360b93d7"
    );
}
