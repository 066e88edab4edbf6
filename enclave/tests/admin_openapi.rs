//! The published document of the admin API is the one that the program makes.

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "test code: the document that should be, beside the test's own files"
)]
fn the_published_document_is_up_to_date() {
    let made = serde_json::to_string_pretty(&postern_enclave::admin::openapi::document()).expect("JSON");
    let published = include_str!("../../deploy/admin-openapi.json");
    if made.trim() != published.trim() {
        let beside = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin-openapi.json");
        std::fs::write(&beside, made + "\n").expect("the folder of test files can be written");
        panic!("deploy/admin-openapi.json is out of date: copy {} over it", beside.display());
    }
}
