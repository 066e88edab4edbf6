//! The run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use postern_tests::programs::{cargo, lasting_folder};
use postern_tests::workspace;

use super::defences::{DEFENCES, Defence, Edit, SYSTEM, Test};

/// Only defences with this in their names are tried.
const ONLY: &str = "POSTERN_SWITCHED_OFF";
/// How long one test may take, in seconds. Without its defence a test may well hang.
const LIMIT: &str = "900";

/// Defences that cost time with every request, and have no setting.
const PRICED: &[&str] = &[
    "system call filter, no new privileges",
    "wiping of freed memory",
    "wiping of stacks",
    "wiping of buffers that stay in use",
    "padding of requests to the provider",
];
/// One run at a time uses the copy.
static IN_USE: Mutex<()> = Mutex::new(());

/// A copy of the repository, with a target folder of its own that later runs use again.
struct Copy(PathBuf);

impl Copy {
    /// Every file that git knows or would take, as it is now.
    fn make() -> Self {
        let (root, copy) = (workspace::root(), lasting_folder().join("switched-off"));
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .current_dir(&root)
            .output()
            .unwrap();
        assert!(listed.status.success(), "the list of files comes from git");
        let names = String::from_utf8(listed.stdout).unwrap();
        for name in names.split_terminator('\0').filter(|name| root.join(name).is_file()) {
            let (from, to) = (root.join(name), copy.join(name));
            let bytes = std::fs::read(&from).unwrap();
            // What has not changed keeps its time, and is not built again.
            if std::fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&from, &to).unwrap();
            write(&to, &bytes);
        }
        Self(copy)
    }

    /// Runs `cargo test` for this target, with these last arguments.
    fn cargo_test(&self, test: Test, last: &[&str]) -> Output {
        let cargo = cargo();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=10", LIMIT]).arg(cargo.get_program());
        for (name, value) in cargo.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["test", "--package", test.package]).env_remove("CARGO_TARGET_DIR");
        match test.target {
            "--lib" => command.arg("--lib"),
            target => command.args(["--test", target]),
        };
        command.args(last).current_dir(&self.0).output().unwrap()
    }

    /// Whether the test passes.
    ///
    /// # Errors
    /// It does not build, or there is no such test.
    fn passes(&self, test: Test) -> Result<bool, String> {
        let built = self.cargo_test(test, &["--no-run"]);
        if !built.status.success() {
            return Err(format!("does not build:\n{}", String::from_utf8_lossy(&built.stderr)));
        }
        if test.package == SYSTEM {
            // These tests build the programs themselves, and blame them if they do not build.
            let mut bins = cargo();
            let bins = bins.args(["build", "--quiet", "--bins"]).current_dir(&self.0).output().unwrap();
            if !bins.status.success() {
                return Err(format!("does not build:\n{}", String::from_utf8_lossy(&bins.stderr)));
            }
        }
        let ran = self.cargo_test(test, &["--", test.name]);
        let said = String::from_utf8_lossy(&ran.stdout);
        if said.contains("running 0 tests") {
            return Err(format!("there is no test {}", test.name));
        }
        Ok(ran.status.success())
    }

    /// Does something while all these edits are made.
    fn edited<T>(&self, edits: &[&Edit], what: impl FnOnce() -> T) -> T {
        let mut before = Vec::new();
        for edit in edits {
            let path = self.0.join(edit.file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(edit.from), "{}: {} is not there", edit.file, edit.from);
            write(&path, text.replace(edit.from, edit.to).as_bytes());
            before.push((path, text));
        }
        let done = what();
        // The first text of a file is the one without any edit.
        for (path, text) in before.iter().rev() {
            write(path, text.as_bytes());
        }
        done
    }

    /// Which of the defence's tests pass though it is off.
    fn without(&self, defence: &Defence) -> Vec<String> {
        let edits: Vec<&Edit> = defence.edits.iter().collect();
        self.edited(&edits, || {
            let mut problems = Vec::new();
            for test in defence.fails {
                match self.passes(*test) {
                    Ok(false) => {}
                    Ok(true) => problems.push(format!("{}: {} passes without it", defence.name, test.name)),
                    Err(problem) => problems.push(format!("{}: {problem}", defence.name)),
                }
            }
            problems
        })
    }

    /// Builds `postern-enclave` in this profile and puts it into the folder.
    fn build_enclave(&self, profile: &str, folder: &Path) {
        let mut command = cargo();
        command.args([
            "build",
            "--profile",
            profile,
            "--package",
            "postern-enclave",
            "--bin",
            "postern-enclave",
        ]);
        let status = command.current_dir(&self.0).status().unwrap();
        assert!(status.success(), "the enclave does not build");
        std::fs::create_dir_all(folder).unwrap();
        let program = self.0.join("target").join(profile).join("postern-enclave");
        std::fs::copy(program, folder.join("postern-enclave")).unwrap();
    }
}

/// Writes a file anew, so that its time is now.
fn write(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).ok();
    std::fs::write(path, bytes).unwrap();
}

#[test]
#[ignore = "builds the system once for every defence, which takes the better part of an hour"]
fn without_any_one_defence_its_tests_fail() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let _alone = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen: Vec<&Defence> = DEFENCES.iter().filter(|defence| defence.name.contains(&only)).collect();
    let copy = Copy::make();
    let mut problems = Vec::new();
    let tests: BTreeSet<Test> = chosen.iter().flat_map(|defence| defence.fails).copied().collect();
    for test in tests {
        if copy.passes(test) != Ok(true) {
            problems.push(format!("control: {} does not pass with every defence on", test.name));
        }
    }
    for defence in chosen {
        let found = copy.without(defence);
        println!("{}: {}", defence.name, if found.is_empty() { "noticed" } else { "NOT NOTICED" });
        for problem in &found {
            println!("{problem}");
        }
        problems.extend(found);
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// For `postern-bench price`: an enclave without each of them, and one without all, below `target/PROFILE/postern-tests/without`.
#[test]
#[ignore = "builds the enclave six times, optimised"]
fn programs_without_one_defence_each() {
    let _alone = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let profile = std::env::var("POSTERN_PROFILE").unwrap_or_else(|_| "dist".to_owned());
    let (copy, folder) = (Copy::make(), lasting_folder().join("without"));
    let priced: Vec<&Defence> = DEFENCES.iter().filter(|defence| PRICED.contains(&defence.name)).collect();
    assert_eq!(priced.len(), PRICED.len(), "a name has changed");
    for defence in &priced {
        let edits: Vec<&Edit> = defence.edits.iter().collect();
        copy.edited(&edits, || copy.build_enclave(&profile, &folder.join(defence.name)));
    }
    let all: Vec<&Edit> = priced.iter().flat_map(|defence| defence.edits).collect();
    copy.edited(&all, || copy.build_enclave(&profile, &folder.join("all of these")));
    println!("{}", folder.display());
}
