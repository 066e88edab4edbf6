//! `postern import`: another gateway's configuration as ours on stdout, and what could not be carried on stderr.
//!
//! Secrets never come along: where the other file holds one, ours names the place to put it.

use std::process::ExitCode;

use serde_json::Value;

use crate::args::{Format, Import};
use crate::exit;
use crate::output::{Output, printable};

mod bifrost;
mod cloud;
mod draft;
mod litellm;
mod openrouter;
mod portkey;
mod source;

use draft::Draft;

pub(crate) fn run(args: &Import, output: &Output) -> ExitCode {
    let text = match std::fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("{}: {}", args.file.display(), error.kind());
            output.failure("IMPORT_FILE", &what, "name a readable file");
            return exit::usage();
        }
    };
    let Some(source) = parse(&text) else {
        let what = format!("{}: neither YAML nor JSON with a table at the top", args.file.display());
        output.failure("IMPORT_SYNTAX", &what, "name the other gateway's own configuration file");
        return exit::usage();
    };
    let draft = read(args.format, source);
    if draft.is_empty() {
        report(&draft, args.json, output);
        let what = format!("{}: nothing in it could be carried", args.file.display());
        output.failure("IMPORT_NOTHING", &what, "check that the format is the one you named");
        return exit::usage();
    }
    output.data(&draft.render());
    report(&draft, args.json, output);
    exit::verified()
}

/// YAML, of which JSON is a part.
fn parse(text: &str) -> Option<Value> {
    serde_yaml_ng::from_str(text).ok().filter(Value::is_object)
}

fn read(format: Format, source: Value) -> Draft {
    let mut draft = Draft::default();
    match format {
        Format::Bifrost => bifrost::read(source, &mut draft),
        Format::Litellm => litellm::read(source, &mut draft),
        Format::Openrouter => openrouter::read(source, &mut draft),
        Format::Portkey => portkey::read(source, &mut draft),
    }
    draft
}

fn report(draft: &Draft, json: bool, output: &Output) {
    if json {
        output.talk(&serde_json::json!({ "format": "postern.import/1", "notes": draft.notes() }).to_string());
        return;
    }
    for note in draft.notes() {
        output.talk(&format!("{:<12}{}: {}", note.kind.word(), printable(&note.at), printable(&note.what)));
    }
}

#[cfg(test)]
mod tests;
