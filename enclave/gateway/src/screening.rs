//! Step 3, screen: may this content pass, and in what form. The only maker of [`Screened`].
//!
//! Every check sees the same view of the content ([`crate::content`]), whatever the dialect. Requests are looked at here;
//! answers by the [`Guard`] that a screened request carries along, buffered ([`Guard::whole`]) or as a stream
//! ([`stream::StreamGuard`]). Where no check applies there is no guard, no view is made, and nothing is paid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::admission::Admitted;
use crate::content::mask::Masks;
use crate::content::{Body, Change, Kind, Segment, View};
use crate::error::Error;
use crate::guardrail::{Call, Check, Guardrails, Hook, Mode, StreamMode, Subject};
use crate::wire::Request;

mod spans;

mod seams;

mod answer;

pub mod stream;

pub mod report;

pub mod inquiry;

use inquiry::Looked;
use report::{Report, Status};

/// Proof that every guardrail that applies has passed this request. Made by [`Looked::screened`] only.
pub struct Screened {
    admitted: Admitted,
    labels: Vec<Arc<str>>,
    guard: Option<Box<Guard>>,
}

impl Screened {
    /// The admitted request, as the guardrails let it through.
    pub const fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// What guardrails found in the content, without what it was; each label once.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// What is to be done about the answer; nothing if no guardrail applies.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_deref()
    }

    pub(crate) fn take_guard(&mut self) -> Option<Box<Guard>> {
        self.guard.take()
    }

    pub(crate) fn keep_guard(&mut self, guard: Box<Guard>) {
        self.guard = Some(guard);
    }

    /// Gives the admitted request and the guard to the next stage.
    pub fn into_parts(self) -> (Admitted, Option<Box<Guard>>) {
        (self.admitted, self.guard)
    }
}

/// What a client says beside its request.
#[derive(Default)]
pub struct Beside<'a> {
    /// Metadata of the request.
    pub metadata: BTreeMap<String, String>,
    /// Guardrails that the key or the client asks for, besides those that apply anyway.
    pub named: Vec<&'a str>,
}

/// The checks of one exchange, what they have masked, and what they have said.
pub struct Guard {
    checks: Vec<Arc<Check>>,
    masks: Masks,
    report: Report,
    /// What the request says, for checks of answers that compare.
    asked: Vec<String>,
    metadata: BTreeMap<String, String>,
}

/// Puts the request before every guardrail that applies and is in here; those outside are asked with what comes back.
/// `draw` gives numbers that nobody outside can guess.
///
/// # Errors
/// [`Error::ContentRefused`] with the guardrail's name, which has seen nothing of the content leave.
pub fn screen(
    admitted: Admitted,
    beside: Beside<'_>,
    guardrails: &Guardrails,
    draw: &mut dyn FnMut() -> u64,
) -> Result<Looked, (Error, Report)> {
    let checks = guardrails.of(&admitted.request().model, &beside.named);
    if checks.is_empty() {
        return Ok(Looked::new(admitted, Vec::new(), None));
    }
    let masks = Masks::new(admitted.request().body.expose(), draw);
    let report = Report::of(&checks);
    let mut guard = Guard { checks, masks, report, asked: Vec::new(), metadata: beside.metadata };
    match guard.request(admitted.request()) {
        Ok(Passed { labels, body: None }) => Ok(Looked::new(admitted, labels, Some(Box::new(guard)))),
        Ok(Passed { labels, body: Some(body) }) => match admitted.rewritten(body) {
            Ok(admitted) => Ok(Looked::new(admitted, labels, Some(Box::new(guard)))),
            Err(error) => Err((error, guard.report)),
        },
        Err(error) => Err((error, guard.report)),
    }
}

/// The labels that a request gets in here; an error if a guardrail refuses it. Changes nothing and asks no service.
pub fn labels(
    request: &Request,
    beside: Beside<'_>,
    guardrails: &Guardrails,
) -> Result<Vec<Arc<str>>, Error> {
    let checks = guardrails.of(&request.model, &beside.named);
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let masks = Masks::new(request.body.expose(), || 0);
    let report = Report::of(&checks);
    let mut guard = Guard { checks, masks, report, asked: Vec::new(), metadata: beside.metadata };
    guard.request(request).map(|passed| passed.labels)
}

/// A request that passed.
struct Passed {
    labels: Vec<Arc<str>>,
    /// Its body, if something in it was changed.
    body: Option<Vec<u8>>,
}

/// Where in an exchange content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Answer,
    Request,
}

impl Phase {
    /// Whether a check looks at content of that kind here.
    fn concerns(self, check: &Check, kind: Kind) -> bool {
        match self {
            Self::Request => {
                let result = kind == Kind::ToolResult && check.looks_at(Hook::ToolResult);
                check.looks_at(Hook::Input) || check.looks_at(Hook::InputParallel) || result
            }
            Self::Answer => {
                let call =
                    matches!(kind, Kind::ToolArguments | Kind::ToolName) && check.looks_at(Hook::ToolCall);
                check.looks_at(Hook::Output) || call
            }
        }
    }
}

/// What the checks did to a text.
#[derive(Default)]
struct Said {
    labels: BTreeSet<Arc<str>>,
}

impl Guard {
    /// The guardrails that apply, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().map(|own| &*own.name)
    }

    /// Whether something of the request was masked reversibly.
    pub fn has_masked(&self) -> bool {
        !self.masks.is_empty()
    }

    /// Whether a check has a say in what may be kept.
    pub fn looks_at_what_is_kept(&self) -> bool {
        self.checks.iter().any(|own| own.looks_at(Hook::Log))
    }

    fn request(&mut self, request: &Request) -> Result<Passed, Error> {
        let body = request.body.expose();
        let Ok(view) = View::of(body, Body::Request) else { return Err(self.unreadable()) };
        let mut said = Said::default();
        let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        seams::request(self, &view, &mut said, &mut changes)?;
        for (number, segment) in view.segments.iter().enumerate().filter(|(_, own)| own.kind != Kind::Media) {
            let found = self.found(Phase::Request, segment.kind, &segment.text, 0, 0);
            let own = self.decide(Phase::Request, &segment.text, found, segment.may_change(), &mut said)?;
            let before = changes.entry(number).or_default();
            spans::merge(before, own);
        }
        for hook in [Hook::Input, Hook::InputParallel, Hook::ToolResult] {
            let all = hook != Hook::ToolResult;
            let segments: Vec<&Segment> =
                view.segments.iter().filter(|own| all || own.kind == Kind::ToolResult).collect();
            self.judge(hook, &segments, &[], None, &mut said)?;
        }
        let compares = self.checks.iter().any(|own| own.looks_at_answers() && own.judge().is_some());
        if compares {
            let said = |own: &&Segment| matches!(own.kind, Kind::Text | Kind::ToolResult);
            self.asked = view.segments.iter().filter(said).map(|own| own.text.clone()).collect();
        }
        changes.retain(|_, own| !own.is_empty());
        let body = (!changes.is_empty()).then(|| view.rewritten(body, &changes));
        Ok(Passed { labels: said.labels.into_iter().collect(), body })
    }

    /// Asks every judge of that hook, or of that way to look at streams.
    fn judge(
        &mut self,
        hook: Hook,
        segments: &[&Segment],
        calls: &[Call],
        only: Option<StreamMode>,
        said: &mut Said,
    ) -> Result<(), Error> {
        let subject = Subject { hook, segments, calls, asked: &self.asked, metadata: &self.metadata };
        for check in &self.checks {
            let Some(judge) = check.judge().filter(|_| check.looks_at(hook)) else { continue };
            if only.is_some_and(|only| (only == StreamMode::Detect) != (check.stream == StreamMode::Detect)) {
                continue;
            }
            if !judge.objects(&subject) {
                continue;
            }
            if check.mode == Mode::Shadow || only == Some(StreamMode::Detect) {
                self.report.set(&check.name, Status::ShadowWouldBlock);
            } else if spans::labels(check, said) {
                self.report.set(&check.name, Status::Intervened);
            } else {
                self.report.set(&check.name, Status::Blocked);
                return Err(Error::ContentRefused { guardrail: Arc::clone(&check.name) });
            }
        }
        Ok(())
    }

    /// Content that cannot be looked at passes only if every check says that it may.
    fn unreadable(&mut self) -> Error {
        let name = self.checks.first().map_or_else(|| Arc::from("guardrails"), |own| Arc::clone(&own.name));
        self.report.set(&name, Status::Failed);
        Error::ContentRefused { guardrail: name }
    }

    /// What the checks have said so far.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Whether answers are to be looked at or changed at all.
    pub fn concerns_answers(&self) -> bool {
        !self.masks.is_empty() || self.checks.iter().any(|own| own.looks_at_answers())
    }

    /// Whether a streamed answer must be whole before any of it goes out.
    pub fn holds_streams(&self) -> bool {
        let holds = |own: &Check| match own.stream {
            StreamMode::Detect => false,
            StreamMode::Hold => true,
            StreamMode::Window => own.asks().is_some() || own.judge().is_some() && own.mode == Mode::Enforce,
        };
        self.checks.iter().any(|own| own.looks_at_answers() && holds(own))
    }
}
