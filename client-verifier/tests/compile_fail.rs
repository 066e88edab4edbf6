//! What must not compile: the types, not the diligence of callers, keep requests off unverified connections.

#[test]
fn only_a_verified_channel_can_send() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_fail/control_verified_sends.rs");
    cases.compile_fail("tests/compile_fail/unverified_sends.rs");
    cases.compile_fail("tests/compile_fail/channel_from_nothing.rs");
    cases.compile_fail("tests/compile_fail/evidence_unappraised.rs");
    cases.compile_fail("tests/compile_fail/policy_without_measurements.rs");
    cases.compile_fail("tests/compile_fail/token_printed.rs");
}
