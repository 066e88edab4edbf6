//! `postern policy`: write a file that says everything, or check one.

use std::io::Write;
use std::process::ExitCode;

use attestation::policy::Waiver;
use postern_client::policy_file::{PLACEHOLDER, Template, load};

use crate::args::{PolicyCheck, PolicyInit};
use crate::exit;
use crate::output::{Output, printable};

pub(crate) fn init(args: &PolicyInit, output: &Output) -> ExitCode {
    let text = Template {
        measurements: args.measurement.clone(),
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
