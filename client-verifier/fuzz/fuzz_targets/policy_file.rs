//! Any text is a policy or an error with a code; nothing else.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = postern_client::policy_file::parse(text, Path::new("/nonexistent")) {
        assert!(error.code().starts_with("POL_"));
    }
});
