//! Telemetry attributes that carry content are not even spelled anywhere in the code.

use postern_tests::workspace::{self, SourceFile};

/// OpenTelemetry's content attributes, without their `gen_ai.` so that this list is not a finding.
const CONTENT: [&str; 8] = [
    "input.messages",
    "output.messages",
    "system_instructions",
    "tool.call.arguments",
    "tool.call.result",
    "prompt",
    "completion",
    "tool.definitions",
];

fn violations(files: &[SourceFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        for name in CONTENT {
            let attribute = format!("gen_ai.{name}\"");
            if file.text.contains(&attribute) {
                problems.push(format!("{}: emits gen_ai.{name}, which is content", file.path));
            }
        }
    }
    problems
}

#[test]
fn no_content_attribute_is_named() {
    super::none(&violations(&workspace::rust_files()));
}

#[test]
fn a_content_attribute_is_found() {
    let file =
        |name: &str| SourceFile { path: "a.rs".to_owned(), text: format!("emit(\"gen_ai.{name}\", x)") };
    for name in CONTENT {
        assert_eq!(violations(&[file(name)]).len(), 1, "{name}");
    }
    assert_eq!(violations(&[file("usage.input_tokens")]).len(), 0);
}
