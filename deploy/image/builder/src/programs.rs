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

impl Build<'_> {
    /// Runs cargo.
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
        command.env("CARGO_HOME", &home).env("CARGO_ENCODED_RUSTFLAGS", rust).env_remove("RUSTFLAGS");
        command.env("CFLAGS", c.collect::<Vec<_>>().join(" ")).env("SOURCE_DATE_EPOCH", crate::image::EPOCH);
        // Whoever builds this tool passes on what cargo told it; the inner build is none of that.
        for (name, _) in std::env::vars_os() {
            let own = name.to_string_lossy();
            if own.starts_with("CARGO_PKG_")
                || own.starts_with("CARGO_PROFILE_")
                || own == "CARGO_MANIFEST_DIR"
            {
                command.env_remove(&name);
            }
        }
        let status =
            command.status().map_err(|error| Failure::new(format!("cargo does not start: {error}")))?;
        if !status.success() {
            return Err(Failure::new("the programs of the image do not build (see above)"));
        }
        let built = |name: &str| {
            let path = target.join(TARGET).join(self.profile).join(name);
            std::fs::read(&path).map_err(Failure::file(&path))
        };
        Ok(Programs { init: built("postern-init")?, gateway: built("postern-enclave")? })
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
