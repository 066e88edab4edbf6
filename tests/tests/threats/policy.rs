//! Row 17: an expected value that is missing must not mean "anything".

use postern_client::policy_file;
use postern_tests::policies;
use postern_tests::security_processor::SecurityProcessor;

fn good() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let processor = SecurityProcessor::start(folder.path());
    let text = policies::template(&processor, folder.path()).render();
    (folder, text)
}

#[test]
fn row_17_an_empty_allow_list_does_not_load() {
    let (folder, text) = good();
    let table: toml::Table = text.parse().unwrap();
    for key in ["measurements", "hardware", "tee_types"] {
        for (empty, codes) in [
            (toml::Value::Array(vec![]), &["POL_EMPTY_ALLOWLIST"][..]),
            (toml::Value::String(String::new()), &["POL_VALUE", "POL_TYPE", "POL_INVALID"][..]),
        ] {
            let mut weak = table.clone();
            weak.insert(key.to_owned(), empty);
            let error = policy_file::parse(&weak.to_string(), folder.path()).expect_err(key);
            assert!(codes.contains(&error.code()), "{key}: {}", error.code());
        }
    }
    // control: as it was, it loads
    policy_file::parse(&table.to_string(), folder.path()).unwrap();
}

#[test]
fn row_17_no_expected_value_can_be_left_out() {
    let (folder, text) = good();
    let table: toml::Table = text.parse().unwrap();
    let mut tried = 0;
    for (key, value) in &table {
        if let Some(section) = value.as_table() {
            for inner in section.keys() {
                let mut weak = table.clone();
                weak[key].as_table_mut().unwrap().remove(inner);
                policy_file::parse(&weak.to_string(), folder.path()).expect_err(inner);
                tried += 1;
            }
        }
        if key != "overrides" {
            let mut weak = table.clone();
            weak.remove(key);
            policy_file::parse(&weak.to_string(), folder.path()).expect_err(key);
            tried += 1;
        }
        // nor is a value ignored because its name is wrong
        let mut weak = table.clone();
        let value = weak.remove(key).unwrap();
        weak.insert(format!("{key}s"), value);
        policy_file::parse(&weak.to_string(), folder.path()).expect_err(key);
    }
    assert!(tried >= 15, "only {tried} values were tried");
}

#[test]
fn a_fresh_policy_does_not_load_before_it_is_filled_in() {
    let text = policy_file::Template::default().render();
    let error = policy_file::parse(&text, std::path::Path::new("")).expect_err("placeholders");
    assert_eq!(error.code(), "POL_PLACEHOLDER");
}
