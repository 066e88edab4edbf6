//! `postern evidence show`: a file of evidence in words.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use postern_client::evidence_view::{MAX_EVIDENCE_BYTES, Part, View, view};

use crate::args::EvidenceShow;
use crate::exit;
use crate::output::{Mark, Output, printable};

pub(crate) fn show(args: &EvidenceShow, output: &Output) -> ExitCode {
    let bytes = match read(&args.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            let what = format!("{}: {}", args.file.display(), error.kind());
            output.failure("CLI_FILE", &what, "name a file with evidence, or - for stdin");
            return exit::usage();
        }
    };
    match view(&bytes) {
        Ok(view) if args.json => match serde_json::to_string(&view) {
            Ok(json) => output.data(&format!("{json}\n")),
            Err(_) => return exit::internal(),
        },
        Ok(view) => output.data(&text(&view, output)),
        Err(error) => {
            output.failure("EVIDENCE_KIND", &error.to_string(), HINT);
            return exit::usage();
        }
    }
    exit::verified()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let most = u64::try_from(MAX_EVIDENCE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn text(view: &View, output: &Output) -> String {
    let mut lines = vec![
        output.marked(Mark::Good, &printable(&view.kind)),
        output.marked(
            Mark::Warning,
            "NOT VERIFIED: these are the bytes in words; `postern appraise` judges them",
        ),
    ];
    for part in &view.parts {
        lines.push(String::new());
        lines.extend(lines_of(part, output));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn lines_of(part: &Part, output: &Output) -> Vec<String> {
    let mut lines = vec![output.marked(Mark::Good, &printable(&part.title))];
    for field in &part.fields {
        let (name, value, meaning) =
            (printable(&field.name), printable(&field.value), printable(&field.meaning));
        let alarm = ["DANGER", "WRONG", "WEAK"].iter().any(|word| meaning.starts_with(word));
        let meaning = if alarm { output.marked(Mark::Bad, &meaning) } else { meaning };
        if value.len() <= SHORT {
            lines.push(format!("  {name:<28} {value:<20} {meaning}"));
        } else {
            lines.push(format!("  {name:<28} {meaning}"));
            lines.push(format!("      {value}"));
        }
    }
    lines
}

/// Values up to this length stand before their meaning, longer ones on a line of their own.
const SHORT: usize = 20;

const HINT: &str = "known: SEV-SNP reports (also with certificate table), TDX quotes of version 4 and 5, Azure HCL blobs, Postern's evidence documents, claims and keysets, certificates in DER";
