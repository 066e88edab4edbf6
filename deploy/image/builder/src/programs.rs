//! The two programs of the image, built static and without a trace of where they were built.
//!
//! Static against glibc (`+crt-static`), not musl: the gateway's list of system calls, its zero-on-free allocator and the
//! measured hygiene of its memory are glibc's. `libc.a` is therefore an input, and named in the manifest.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// The programs' bytes.
pub struct Programs {
    /// `/init`.
    pub init: Vec<u8>,
    /// `/postern-enclave`.
    pub gateway: Vec<u8>,
}

impl Programs {
    /// Programs that are built already, in one folder.
    ///
    /// # Errors
    /// [`Failure`] where one cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(Failure::file(&path))
        };
        Ok(Self { init: read("postern-init")?, gateway: read("postern-enclave")? })
    }
}

/// The one target the image is for.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How they are built.
pub struct Build<'a> {
    /// The workspace.
    pub source: &'a Path,
    /// Where cargo keeps its files; `CARGO_HOME` of the environment, or its default, when `None`.
    pub cargo_home: Option<&'a Path>,
    /// Where cargo builds.
    pub target: &'a Path,
    /// `image` (quick) or `dist` (release).
    pub profile: &'a str,
}

/// Whether a variable of the builder's environment could change the programs. Where crates come from, and how many
/// processors work, could not.
fn decides(name: &str) -> bool {
    let harmless = ["CARGO_BUILD_JOBS", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let decisive =
        ["CARGO", "__CARGO", "RUSTC", "RUSTFLAGS", "CFLAGS", "CPPFLAGS", "LDFLAGS", "SOURCE_DATE_EPOCH"];
    let begins = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    begins(&decisive) && !begins(&harmless)
}

/// The compiler that the source is built with.
fn pinned_toolchain(source: &Path) -> Result<String, Failure> {
    let path = source.join("rust-toolchain.toml");
    let text = std::fs::read_to_string(&path).map_err(Failure::file(&path))?;
    let file: toml::Table =
        text.parse().map_err(|_| Failure::new(format!("{}: not TOML", path.display())))?;
    let channel = file.get("toolchain").and_then(|table| table.get("channel")?.as_str());
    channel.map(str::to_owned).ok_or_else(|| Failure::new(format!("{}: no channel", path.display())))
}

impl Build<'_> {
    /// Runs cargo, without what its own environment may say otherwise.
    ///
    /// # Errors
    /// [`Failure`] where the programs do not build.
    pub fn run(&self) -> Result<Programs, Failure> {
        let source = self.source.canonicalize().map_err(Failure::file(self.source))?;
        std::fs::create_dir_all(self.target).map_err(Failure::file(self.target))?;
        let target = self.target.canonicalize().map_err(Failure::file(self.target))?;
        let home = self.home()?;
        let maps = [(&home, "/cargo"), (&source, "/source"), (&target, "/target")];
        let rust = maps.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        let c = maps.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        let flags = ["-Ctarget-feature=+crt-static".to_owned(), "-Clink-arg=-Wl,--build-id=none".to_owned()];
        let rust = flags.into_iter().chain(rust).collect::<Vec<_>>().join("\x1f");
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&source).args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            self.profile,
        ]);
        command.args(["-p", "postern-enclave", "-p", "postern-init", "--bins", "--target-dir"]).arg(&target);
        for (name, _) in std::env::vars_os().filter(|(name, _)| decides(&name.to_string_lossy())) {
            command.env_remove(&name);
        }
        command.env("CARGO_HOME", &home).env("CARGO_ENCODED_RUSTFLAGS", rust);
        // Whoever asks for another compiler than the pinned one, or has crates that do, gets the pinned one.
        command.env("RUSTUP_TOOLCHAIN", pinned_toolchain(&source)?);
        command.env("CFLAGS", c.collect::<Vec<_>>().join(" ")).env("SOURCE_DATE_EPOCH", crate::image::EPOCH);
        let status =
            command.status().map_err(|error| Failure::new(format!("cargo does not start: {error}")))?;
        if !status.success() {
            return Err(Failure::new("the programs of the image do not build (see above)"));
        }
        Programs::read(&target.join(TARGET).join(self.profile))
    }

    fn home(&self) -> Result<PathBuf, Failure> {
        let home = match self.cargo_home {
            Some(path) => path.to_owned(),
            None => match std::env::var_os("CARGO_HOME") {
                Some(path) => path.into(),
                None => PathBuf::from(
                    std::env::var_os("HOME")
                        .ok_or_else(|| Failure::new("neither CARGO_HOME nor HOME is set"))?,
                )
                .join(".cargo"),
            },
        };
        std::fs::create_dir_all(&home).map_err(Failure::file(&home))?;
        home.canonicalize().map_err(Failure::file(&home))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_nothing() {
        let out =
            ["CARGO_PROFILE_IMAGE_OPT_LEVEL", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WRAPPER", "CFLAGS_x86_64"];
        assert!(out.iter().all(|name| decides(name)));
        let kept = ["PATH", "HOME", "CARGO_BUILD_JOBS", "CARGO_REGISTRIES_X_INDEX", "RUSTUP_HOME"];
        assert!(kept.iter().all(|name| !decides(name)));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        assert!(pinned_toolchain(&root).unwrap().starts_with("1."), "a version, not a channel that moves");
    }
}
