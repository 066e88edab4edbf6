//! What must not compile: printing content, copying secrets, skipping a stage.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
