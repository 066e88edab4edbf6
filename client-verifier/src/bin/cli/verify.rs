//! `postern verify`: one connection, all checks, no application request.

use std::process::ExitCode;

use postern_client::Verifier;

use crate::args::Verify;
use crate::output::Output;
use crate::verdict::Verdict;
use crate::{exit, fetch};

pub(crate) async fn run(args: &Verify, output: &Output) -> ExitCode {
    let verifier = fetch::verifier(&args.url, &args.reach);
    let verifier = if args.explain { verifier.map(Verifier::explaining) } else { verifier };
    let result = match &verifier {
        Ok(verifier) => verifier.connect().await,
        Err(error) => Err(error.clone()),
    };
    let verdict = Verdict {
        url: &args.url,
        policy: verifier.as_ref().ok().map(Verifier::policy),
        result: result.as_ref(),
    };
    if args.json {
        output.data(&format!("{}\n", verdict.json()));
    } else {
        output.data(&verdict.text(output));
    }
    match &result {
        Ok(_) => exit::verified(),
        Err(error) => {
            output.error(error);
            exit::of(error.outcome())
        }
    }
}
