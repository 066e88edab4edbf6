//! The release lane's kernel: Debian's source, one patch, a fragment of configuration, and a policy about what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::image::EPOCH;
use crate::inputs::Inputs;

/// One line of `policy.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    name: String,
    /// The value it must have; `None`: it must not be set.
    value: Option<String>,
}

/// What of `policy` the resolved configuration breaks.
///
/// # Errors
/// [`Failure`] where the policy itself cannot be read.
pub fn violations(policy: &str, configuration: &str) -> Result<Vec<String>, Failure> {
    let set: BTreeMap<&str, &str> =
        configuration.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('=')).collect();
    let mut problems = Vec::new();
    for rule in rules(policy)? {
        let found = set.get(rule.name.as_str()).copied();
        match (&rule.value, found) {
            (None, None) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, Some(found)) => problems.push(format!("{} must be off and is {found}", rule.name)),
            (Some(wanted), found) => {
                problems.push(format!("{} must be {wanted} and is {}", rule.name, found.unwrap_or("off")));
            }
        }
    }
    Ok(problems)
}

fn rules(policy: &str) -> Result<Vec<Rule>, Failure> {
    let mut rules = Vec::new();
    for (number, line) in policy.lines().enumerate() {
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let rule = match (text.strip_suffix(" off"), text.split_once('=')) {
            (Some(name), _) => Rule { name: name.trim().to_owned(), value: None },
            (None, Some((name, value))) => Rule { name: name.to_owned(), value: Some(value.to_owned()) },
            (None, None) => {
                return Err(Failure::new(format!(
                    "policy, line {}: neither NAME=value nor NAME off",
                    number + 1
                )));
            }
        };
        rules.push(rule);
    }
    if rules.is_empty() {
        return Err(Failure::new("the kernel policy has no rule"));
    }
    Ok(rules)
}

/// Builds the kernel below `folder` with so many jobs at once and returns the path of its image. Takes about nine minutes of one processor, and the
/// packages flex, bison, bc, libelf-dev, libssl-dev, patch and xz-utils.
///
/// # Errors
/// [`Failure`]: a step that failed, or a configuration that breaks the policy.
pub fn build(
    inputs: &Inputs,
    cache: &Path,
    recipe: &Path,
    folder: &Path,
    jobs: usize,
) -> Result<PathBuf, Failure> {
    let package = inputs.get("kernel-source", cache)?;
    let files = crate::package::files(&package, |path| {
        path.starts_with("usr/src/linux-source-") && path.ends_with(".tar.xz")
    })?;
    drop(package);
    let (name, packed) = files.first_key_value().ok_or_else(|| Failure::new("no source in the package"))?;
    let (source, output) = (folder.join("source"), folder.join("output"));
    for path in [&source, &output] {
        std::fs::create_dir_all(path).map_err(Failure::file(path))?;
    }
    let archive = folder.join(name.rsplit('/').next().unwrap_or("source.tar.xz"));
    std::fs::write(&archive, packed).map_err(Failure::file(&archive))?;
    run(Command::new("tar").arg("-C").arg(&source).args(["--strip-components=1", "-xf"]).arg(&archive))?;
    let patch = recipe.join("acpi-no-ram.patch");
    run(Command::new("patch").args(["-p1", "--forward", "--batch", "-d"]).arg(&source).arg("-i").arg(patch))?;
    make(&source, &output, &["tinyconfig"])?;
    let configuration = output.join(".config");
    run(Command::new(source.join("scripts/kconfig/merge_config.sh"))
        .current_dir(&output)
        .arg("-m")
        .arg(&configuration)
        .arg(recipe.join("hardened.config")))?;
    make(&source, &output, &["olddefconfig"])?;
    let text = std::fs::read_to_string(&configuration).map_err(Failure::file(&configuration))?;
    let policy = recipe.join("policy.txt");
    let problems = violations(&std::fs::read_to_string(&policy).map_err(Failure::file(&policy))?, &text)?;
    if !problems.is_empty() {
        return Err(Failure::new(format!(
            "the kernel's configuration breaks the policy: {}",
            problems.join("; ")
        )));
    }
    make(&source, &output, &[&format!("-j{jobs}"), "bzImage"])?;
    Ok(output.join("arch/x86/boot/bzImage"))
}

fn make(source: &Path, output: &Path, goals: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("make");
    command.arg("-s").arg("-C").arg(source).arg(format!("O={}", output.display())).args(goals);
    command
        .env("LC_ALL", "C")
        .env("KBUILD_BUILD_TIMESTAMP", format!("@{EPOCH}"))
        .env("KBUILD_BUILD_USER", "postern");
    command
        .env("KBUILD_BUILD_HOST", "postern")
        .env("KBUILD_BUILD_VERSION", "1")
        .env("SOURCE_DATE_EPOCH", EPOCH);
    run(&mut command)
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.status().map_err(|error| Failure::new(format!("{name}: {error}; is it installed?")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{name} failed (see above)"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kconfig_resolved_otherwise_is_found() {
        let policy = "# why\nMODULES off # the measured code is all\nPANIC_TIMEOUT=-1\nSEV_GUEST=y\n";
        let judge = |configuration: &str| violations(policy, configuration).unwrap();
        let good = "# CONFIG_MODULES is not set\nCONFIG_PANIC_TIMEOUT=-1\nCONFIG_SEV_GUEST=y\n";
        assert_eq!(judge(good), Vec::<String>::new());
        assert_eq!(
            judge(&good.replace("# CONFIG_MODULES is not set", "CONFIG_MODULES=y")),
            ["MODULES must be off and is y"]
        );
        assert_eq!(judge(&good.replace("SEV_GUEST=y", "SEV_GUEST=m")), ["SEV_GUEST must be y and is m"]);
        assert_eq!(judge("").len(), 2);
        assert!(violations("MODULES\n", good).is_err());
        assert!(violations("# nothing\n", good).is_err());
    }

    #[test]
    fn the_recorded_configuration_keeps_the_policy() {
        let recipe = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel").join(name);
            std::fs::read_to_string(path).unwrap()
        };
        let problems = violations(&recipe("policy.txt"), &recipe("resolved.config")).unwrap();
        assert_eq!(problems, Vec::<String>::new());
    }
}
