//! `postern appraise`: one request on stdin, one answer on stdout.

use std::process::ExitCode;

use postern_client::appraise::{Argument, Depth, Verdict, appraise_from};

use crate::args::Appraise;
use crate::output::Output;
use crate::{argument, exit};

pub(crate) fn run(args: &Appraise, output: &Output) -> ExitCode {
    let depth = if args.explain { Depth::Explain } else { Depth::Decide };
    let argument = match appraise_from(std::io::stdin().lock(), depth) {
        Ok(argument) => argument,
        Err(error) => {
            let what = format!("stdin cannot be read: {}", error.kind());
            output.failure("LOCAL_STDIN", &what, "give the request on stdin");
            return exit::internal();
        }
    };
    let Ok(json) = argument.answer.to_json() else {
        output.failure("LOCAL_JSON", "the answer cannot be written as JSON", "report this as a fault");
        return exit::internal();
    };
    output.data(&format!("{json}\n"));
    if args.explain {
        explain(&argument, output);
    }
    match argument.answer.verdict {
        Verdict::Accepted => ExitCode::SUCCESS,
        Verdict::Rejected => exit::rejected_offline(),
        Verdict::Malformed => exit::malformed(),
    }
}

/// The verdict for people, on stderr.
fn explain(argument: &Argument, output: &Output) {
    let answer = &argument.answer;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    let (field, expected, found) =
        (or_none(&answer.field), or_none(&answer.expected), or_none(&answer.found));
    let line = match (answer.verdict, answer.code) {
        (Verdict::Accepted, _) => "ACCEPTED".to_owned(),
        (Verdict::Rejected, code) => format!("REJECTED {}", code.unwrap_or_default()),
        (Verdict::Malformed, code) => format!("MALFORMED {}", code.unwrap_or_default()),
    };
    output.talk(&line);
    if answer.code.is_some() {
        let line = format!("  {field}: expected {expected}, found {found}");
        output.talk(&crate::output::printable(&line));
    }
    let authentic = if answer.authentic {
        "yes: signed by the vendor's hardware, whatever the policy says of it"
    } else {
        "no, or not decidable with what was given"
    };
    output.talk(&format!("  authentic   {authentic}"));
    for line in argument::lines(&argument.checks, |mark, text| output.marked_err(mark, text)) {
        output.talk(&line);
    }
    for waiver in &answer.waivers {
        let reason = crate::output::printable(&waiver.reason);
        output.talk(&format!("  loosened    {}: {reason}", waiver.rule));
    }
}
