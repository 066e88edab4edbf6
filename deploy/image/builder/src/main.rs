//! `postern-image`: builds the image, its kernel and its manifest.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program on the builder's machine"
)]

use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postern_image::disk::Disk;
use postern_image::failure::Failure;
use postern_image::formats;
use postern_image::image::{self, Kernel, Profile};
use postern_image::inputs::Inputs;
use postern_image::programs::{Build, Programs};
use postern_image::release::{self, About, Built};

/// Builds the confidential VM image. Same inputs, same bytes.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the image and its manifest
    Build(BuildArguments),
    /// Build the release lane's kernel: about nine minutes of one processor
    Kernel {
        /// Where to build
        #[arg(long, default_value = "target/image/kernel")]
        folder: PathBuf,
        /// How many compilers at once [default: as many as there are processors]
        #[arg(long, short)]
        jobs: Option<usize>,
    },
    /// Check a resolved kernel configuration against the policy
    CheckKernel {
        /// The `.config` file
        configuration: PathBuf,
    },
    /// Make a release key
    NewKey {
        /// Where to write it (PKCS#8)
        file: PathBuf,
    },
    /// Sign a manifest; the signature goes to MANIFEST.sig
    Sign {
        /// The manifest
        manifest: PathBuf,
        /// The release key
        #[arg(long)]
        key: PathBuf,
    },
}

#[derive(Args)]
struct BuildArguments {
    /// quick: Debian's kernel with modules, for tests. release: our kernel, see `kernel`
    #[arg(long, default_value = "quick")]
    lane: Lane,
    /// Where to write
    #[arg(long, default_value = "target/image")]
    output: PathBuf,
    /// The release kernel, when it is not where `kernel` puts it
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// Where fetched inputs are kept
    #[arg(long, default_value = "target/image/inputs")]
    cache: PathBuf,
    /// Cargo's home for the programs of the image
    #[arg(long)]
    cargo_home: Option<PathBuf>,
    /// Programs that are built already (postern-init and postern-enclave in this folder), such as another builder's
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Also write disks for Google, Microsoft and Amazon
    #[arg(long)]
    disks: bool,
    /// Number of the release; rises with each
    #[arg(long, default_value_t = 0)]
    sequence: u64,
    /// An earlier release that clients must not take any more, as VERSION=REASON; may be repeated
    #[arg(long, value_name = "VERSION=REASON")]
    revoke: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lane {
    Quick,
    Release,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Build(arguments) => build(&arguments),
        Command::Kernel { folder, jobs } => kernel(&folder, jobs),
        Command::CheckKernel { configuration } => check_kernel(&configuration),
        Command::NewKey { file } => new_key(&file),
        Command::Sign { manifest, key } => sign(&manifest, &key),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("postern-image: {failure}");
            ExitCode::FAILURE
        }
    }
}

const RECIPE: &str = "deploy/image";

fn build(arguments: &BuildArguments) -> Result<(), Failure> {
    let inputs = Inputs::load(&Path::new(RECIPE).join("inputs.toml"))?;
    let kernel = kernel_of(arguments, &inputs)?;
    let (lane, programs) = programs_of(arguments)?;
    let initrd = image::initial_ram_disk(&programs, &kernel.modules)?;
    let stub = image::stub(&inputs, &arguments.cache)?;
    let mut artifacts = Vec::new();
    let mut built = Vec::new();
    for profile in [Profile::Metal, Profile::Cloud] {
        let uki = image::assemble(&stub, &kernel.image, &initrd, profile.words())?;
        let disk = Disk::with(&uki)?;
        let name = format!("postern-{}", profile.as_str());
        write(&arguments.output.join(format!("{name}.efi")), &uki)?;
        if arguments.disks && profile == Profile::Cloud {
            disk.write(&arguments.output.join(format!("{name}.raw")))?;
            let (google, azure) = (format!("{name}.tar.gz"), format!("{name}.vhd"));
            formats::write_gcp(&disk, &arguments.output.join(&google))?;
            formats::write_vhd(&disk, &arguments.output.join(&azure))?;
            let path = arguments.output.join(&google);
            artifacts.push((google, std::fs::read(&path).map_err(Failure::file(&path))?));
        }
        artifacts.push((format!("{name}.efi"), uki.clone()));
        built.push((profile, uki, disk.table()));
    }
    let firmware =
        (image::firmware_snp(&inputs, &arguments.cache)?, image::firmware_tdx(&inputs, &arguments.cache)?);
    write(&arguments.output.join("firmware-snp.fd"), &firmware.0)?;
    write(&arguments.output.join("firmware-tdx.fd"), &firmware.1)?;
    let issued = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let about = About {
        revision: revision(),
        sequence: arguments.sequence,
        issued,
        expires: issued + release::DAYS * 86_400,
        lane,
        inputs: &inputs,
        artifacts,
        revoked: arguments.revoke.iter().map(|text| revocation(text)).collect::<Result<_, _>>()?,
        firmware: (&firmware.0, &firmware.1),
    };
    let built: Vec<Built<'_>> =
        built.iter().map(|(profile, uki, disk)| Built { profile: *profile, uki, disk }).collect();
    let manifest = release::manifest(&about, &built)?;
    write(&arguments.output.join("manifest.json"), manifest.as_bytes())?;
    for own in &built {
        println!(
            "{}  {:>9} bytes  postern-{}.efi",
            release::sha256(own.uki),
            own.uki.len(),
            own.profile.as_str()
        );
    }
    println!("{}", arguments.output.join("manifest.json").display());
    Ok(())
}

/// The name of the lane, and its programs.
fn programs_of(arguments: &BuildArguments) -> Result<(&'static str, Programs), Failure> {
    let (lane, profile) = match arguments.lane {
        Lane::Quick => ("quick", "image"),
        Lane::Release => ("release", "dist"),
    };
    if let Some(folder) = &arguments.programs {
        return Ok((lane, Programs::read(folder)?));
    }
    let (target, cargo_home) = (arguments.output.join("cargo"), arguments.cargo_home.as_deref());
    Ok((lane, Build { source: Path::new("."), cargo_home, target: &target, profile }.run()?))
}

fn kernel_of(arguments: &BuildArguments, inputs: &Inputs) -> Result<Kernel, Failure> {
    match arguments.lane {
        Lane::Quick => Kernel::of_debian(inputs, &arguments.cache),
        Lane::Release => {
            let path = arguments
                .kernel
                .clone()
                .unwrap_or_else(|| "target/image/kernel/output/arch/x86/boot/bzImage".into());
            let image = std::fs::read(&path).map_err(|error| {
                Failure::new(format!("{}: {error}; run `deploy/image/build-kernel` first", path.display()))
            })?;
            Ok(Kernel { image, modules: Vec::new() })
        }
    }
}

fn revocation(text: &str) -> Result<(String, String), Failure> {
    let (version, reason) =
        text.split_once('=').ok_or_else(|| Failure::new("--revoke: write VERSION=REASON"))?;
    Ok((version.to_owned(), reason.to_owned()))
}

/// The source's revision, with a mark where files differ from it.
fn revision() -> String {
    let said =
        Process::new("git").args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

fn kernel(folder: &Path, jobs: Option<usize>) -> Result<(), Failure> {
    let inputs = Inputs::load(&Path::new(RECIPE).join("inputs.toml"))?;
    std::fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let folder = folder.canonicalize().map_err(Failure::file(folder))?;
    let recipe =
        Path::new(RECIPE).join("kernel").canonicalize().map_err(|error| Failure::new(error.to_string()))?;
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let cache = Path::new("target/image/inputs");
    let image = postern_image::kernel::build(&inputs, cache, &recipe, &folder, jobs)?;
    let bytes = std::fs::read(&image).map_err(Failure::file(&image))?;
    println!("{}  {:>9} bytes  {}", release::sha256(&bytes), bytes.len(), image.display());
    Ok(())
}

fn check_kernel(configuration: &Path) -> Result<(), Failure> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Failure::file(path));
    let policy = read(&Path::new(RECIPE).join("kernel/policy.txt"))?;
    let problems = postern_image::kernel::violations(&policy, &read(configuration)?)?;
    if problems.is_empty() {
        println!("the configuration keeps the policy");
        return Ok(());
    }
    Err(Failure::new(problems.join("\n")))
}

fn new_key(file: &Path) -> Result<(), Failure> {
    let (secret, public) = release::new_key()?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file).map_err(Failure::file(file))?;
    std::io::Write::write_all(&mut out, &secret).map_err(Failure::file(file))?;
    println!("{}", hex::encode(public));
    Ok(())
}

fn sign(manifest: &Path, key: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(manifest).map_err(Failure::file(manifest))?;
    let (signature, public) = release::sign(&bytes, key)?;
    let mut path = manifest.as_os_str().to_owned();
    path.push(".sig");
    write(Path::new(&path), &signature)?;
    println!("signed; clients need the key {}", hex::encode(public));
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    }
    std::fs::write(path, bytes).map_err(Failure::file(path))
}
