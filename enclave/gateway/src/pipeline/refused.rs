//! What the client gets in place of an answer: the error, and what was tried.

use crate::error::Error;
use crate::screening::report;
use crate::settle::{Attempted, EXPLANATION, Exchange};

/// An error, and the attempts that led to it. Everything but the headers is the error's.
#[derive(Debug)]
pub struct Refused {
    error: Error,
    attempted: Vec<Attempted>,
    explanation: Option<String>,
    guardrails: Option<Box<report::Report>>,
}

impl Refused {
    pub(super) fn new(error: Error, exchange: &Exchange) -> Self {
        let explanation = exchange.explanation().map(str::to_owned);
        let said = exchange.guardrails();
        let guardrails = (!said.is_empty()).then(|| Box::new(said.clone()));
        Self { error, attempted: exchange.attempted().to_vec(), explanation, guardrails }
    }

    /// Headers of the answer, names in lower case: the error's, and which deployments were tried.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.error.headers();
        if !self.attempted.is_empty() {
            headers.push(("postern-attempts", self.attempted.len().to_string()));
            headers.push((Attempted::HEADER, Attempted::list(&self.attempted)));
        }
        headers.extend(self.guardrails.as_ref().map(|said| (report::HEADER, said.to_string())));
        headers.extend(self.explanation.clone().map(|text| (EXPLANATION, text)));
        headers
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, attempted: Vec::new(), explanation: None, guardrails: None }
    }
}

impl std::ops::Deref for Refused {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(out)
    }
}

impl std::error::Error for Refused {}
