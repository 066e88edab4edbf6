//! The repository's own rules. Each is a function over text that returns what is wrong, one test that holds the
//! repository to it, and one that shows it fail on a bad example.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod tidy {
    mod content_names;
    mod exposure;
    mod imports;
    mod links;
    mod machine_paths;
    mod manifests;
    mod policy_rows;
    mod pure_verifier;
    mod registries;
    mod requirements;
    mod size;
    mod threat_rows;
    mod zones;

    /// Fails with everything that is wrong, one line each.
    fn none(problems: &[String]) {
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }
}
