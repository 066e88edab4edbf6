//! `postern policy`: write a file that says everything, or check one.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use attestation::policy::Waiver;
use attestation::{Measurement, Sha256, TeeType};
use postern_client::policy_file::{PLACEHOLDER, Table, Template, load};
use postern_client::release::{MAX_MANIFEST_BYTES, Manifest, ReleaseError};
use ring::digest::{SHA256, digest};

use crate::args::{PolicyCheck, PolicyInit};
use crate::exit;
use crate::output::{Output, printable};

pub(crate) fn init(args: &PolicyInit, output: &Output) -> ExitCode {
    let Released { measurements, tables, appendix, configuration } = match released(args) {
        Ok(found) => found,
        Err((code, what, hint)) => {
            output.failure(code, &what, hint);
            return exit::usage();
        }
    };
    let text = Template {
        tee: Some(args.tee),
        measurements,
        tables,
        configuration,
        appendix,
        hardware: args.hardware_id.clone(),
        deployment: args.deployment.clone(),
        simulated_roots: args.simulated_root.clone(),
        webpki: args.webpki.clone(),
        floors: args.floors.clone(),
    }
    .render();
    match &args.output {
        None => output.data(&text),
        Some(path) => {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).create_new(!args.force);
            if let Err(error) = options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
                let what = format!("{}: {}", path.display(), error.kind());
                output.failure("POL_FILE", &what, "name another file, or replace this one with --force");
                return exit::usage();
            }
            output.talk(&format!("written: {}", printable(&path.display().to_string())));
        }
    }
    let left = text.matches(&format!("\"{PLACEHOLDER}")).count();
    if left > 0 {
        output.talk(&format!(
            "{left} values are to be filled in (search for {PLACEHOLDER}); until then the file does not load"
        ));
    }
    if !args.simulated_root.is_empty() {
        output.talk(
            "SIMULATED: this policy accepts simulated processors only and proves nothing about hardware",
        );
    }
    exit::verified()
}

/// What the command line and the manifests that it names say.
struct Released {
    measurements: Vec<Measurement>,
    tables: Vec<Table>,
    appendix: Vec<String>,
    /// Where the launch can name it.
    configuration: Option<Sha256>,
}

fn released(args: &PolicyInit) -> Result<Released, (&'static str, String, &'static str)> {
    let read = |path: &Path| {
        let unreadable = |error: std::io::Error| {
            ("POL_FILE", format!("{}: {}", path.display(), error.kind()), "name a file that can be read")
        };
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(path).map_err(unreadable)?;
        opened.take(MAX_MANIFEST_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    };
    let refused = |error: ReleaseError| (error.code(), error.to_string(), error.hint());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs());
    let key = args.release_key.unwrap_or_default();
    let mut manifests = Vec::new();
    for path in &args.release {
        let mut signature = path.clone().into_os_string();
        signature.push(".sig");
        let (text, signature) = (read(path)?, read(Path::new(&signature))?);
        manifests.push(Manifest::verify(&text, &signature, &key, now).map_err(refused)?);
    }
    Manifest::check_revocations(&manifests).map_err(refused)?;
    let configuration = match &args.configuration {
        Some(path) => digest(&SHA256, &read(path)?).as_ref().try_into().ok().map(Sha256::new),
        None => None,
    };
    let (mut measurements, mut tables, mut appendix) = (args.measurement.clone(), Vec::new(), Vec::new());
    for manifest in &manifests {
        if args.tee == TeeType::Snp {
            let shape = args.shape.as_deref().unwrap_or_default();
            measurements.extend(manifest.launch_measurements(shape).map_err(refused)?);
        }
        for table in manifest.tables(args.tee, configuration.as_ref()).map_err(refused)? {
            // Of several releases on one kind of machine some tables are the same.
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        appendix.push(format!(
            "Release {}, number {}, on other platforms:",
            manifest.version(),
            manifest.sequence()
        ));
        appendix.extend(manifest.others());
    }
    let named_by_launch = matches!(args.tee, TeeType::Snp | TeeType::Tdx);
    let configuration = configuration.filter(|_| named_by_launch);
    Ok(Released { measurements, tables, appendix, configuration })
}

pub(crate) fn check(args: &PolicyCheck, output: &Output) -> ExitCode {
    match load(&args.file) {
        Ok(policy) => {
            let mut lines = vec![format!("USABLE  {}", printable(&args.file.display().to_string()))];
            if policy.simulated() {
                lines.push("  SIMULATED   accepts simulated processors only".to_owned());
            }
            let loosened =
                |waiver: Waiver| format!("  loosened    {}: {}", waiver.rule, printable(&waiver.reason));
            lines.extend(policy.waivers().into_iter().map(loosened));
            output.data(&format!("{}\n", lines.join("\n")));
            exit::verified()
        }
        Err(error) => {
            output.error(&error.into());
            exit::usage()
        }
    }
}
