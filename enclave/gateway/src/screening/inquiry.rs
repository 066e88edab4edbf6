//! What services outside are asked, and what their word does. Asking is the pipeline's business: nothing here waits.
//!
//! Services see texts as the checks in here have left them, so what is masked does not leave; and answers before masks are
//! taken off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::report::{Report, Status};
use super::{Guard, Phase, Said, Screened, spans};
use crate::admission::Admitted;
use crate::content::{Body, Change, Channel, Kind, Segment, View};
use crate::error::Error;
use crate::guardrail::{Action, Check, Hook, Mode, OnError, Verdict};
use crate::wire::sse::{Event, Splitter};

/// A request that the checks in here let through. Services that apply are still to be asked.
pub struct Looked {
    admitted: Admitted,
    labels: Vec<Arc<str>>,
    guard: Option<Box<Guard>>,
    /// Checks to be asked one after the other.
    waiting: VecDeque<usize>,
}

/// What one service is to be asked.
pub struct Inquiry {
    /// The check.
    pub check: Arc<Check>,
    /// The texts.
    pub texts: Vec<String>,
    number: usize,
    /// Which segments of the body they are; none for streams.
    places: Vec<usize>,
}

impl Looked {
    pub(super) fn new(admitted: Admitted, labels: Vec<Arc<str>>, guard: Option<Box<Guard>>) -> Self {
        let before = |own: &Check| {
            own.asks().is_some() && (own.looks_at(Hook::Input) || own.looks_at(Hook::ToolResult))
        };
        let checks = guard.iter().flat_map(|guard| guard.checks.iter().enumerate());
        let waiting = checks.filter(|(_, own)| before(own)).map(|(number, _)| number).collect();
        Self { admitted, labels, guard, waiting }
    }

    /// The admitted request.
    pub const fn admitted(&self) -> &Admitted {
        &self.admitted
    }

    /// The labels so far.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// What has been said so far.
    pub fn report(&self) -> Option<&Report> {
        self.guard.as_deref().map(Guard::report)
    }

    /// What to ask next; nothing when all have been asked.
    ///
    /// # Errors
    /// [`Error::ContentRefused`]: the body cannot be looked at.
    pub fn inquire(&mut self) -> Result<Option<Inquiry>, Error> {
        let Some(guard) = &mut self.guard else { return Ok(None) };
        while let Some(number) = self.waiting.front().copied() {
            let check = guard.checks.get(number).map(Arc::clone);
            let hook = |kind| Phase::Request.concerns_of(check.as_ref(), kind);
            let body = self.admitted.request().body.expose();
            match guard.inquiry(number, body, Body::Request, &hook) {
                Ok(Some(inquiry)) => return Ok(Some(inquiry)),
                Ok(None) => {
                    self.waiting.pop_front();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes a service's word for what [`Self::inquire`] gave; nothing if it gave none.
    ///
    /// # Errors
    /// [`Error::ContentRefused`], and the report at that.
    pub fn heard(mut self, inquiry: &Inquiry, heard: Option<Verdict>) -> Result<Self, (Error, Report)> {
        let Some(mut guard) = self.guard.take() else { return Ok(self) };
        self.waiting.retain(|number| *number != inquiry.number);
        let mut said = Said::default();
        let body = self.admitted.request().body.expose();
        match guard.heard(inquiry, heard, Phase::Request, (body, Body::Request), &mut said) {
            Ok(None) => {}
            Ok(Some(body)) => match self.admitted.rewritten(body) {
                Ok(admitted) => self.admitted = admitted,
                Err(error) => return Err((error, guard.report)),
            },
            Err(error) => return Err((error, guard.report)),
        }
        self.labels.extend(said.labels);
        self.labels.sort_unstable();
        self.labels.dedup();
        self.guard = Some(guard);
        Ok(self)
    }

    /// What is asked beside the call upstream.
    ///
    /// # Errors
    /// As [`Self::inquire`].
    pub fn beside(&mut self) -> Result<Vec<Inquiry>, Error> {
        let Some(guard) = &mut self.guard else { return Ok(Vec::new()) };
        let body = self.admitted.request().body.expose();
        let beside = |own: &Arc<Check>| own.asks().is_some() && own.looks_at(Hook::InputParallel);
        let numbers: Vec<usize> =
            (0..guard.checks.len()).filter(|number| guard.checks.get(*number).is_some_and(beside)).collect();
        let asked = numbers.into_iter().map(|number| guard.inquiry(number, body, Body::Request, &|_| true));
        asked.filter_map(Result::transpose).collect()
    }

    /// The screened request.
    ///
    /// # Errors
    /// [`Error::ContentRefused`] if a service has not been asked.
    pub fn screened(self) -> Result<Screened, Error> {
        let Self { admitted, labels, guard, waiting } = self;
        let unasked = waiting.front().and_then(|number| guard.as_ref()?.checks.get(*number));
        match unasked {
            Some(check) => Err(Error::ContentRefused { guardrail: Arc::clone(&check.name) }),
            None => Ok(Screened { admitted, labels, guard }),
        }
    }
}

impl Inquiry {
    /// What a service's word means where nothing can be changed any more.
    pub fn status(&self, heard: Option<&Verdict>) -> Status {
        let objects = match heard {
            None => return Status::Failed,
            Some(Verdict::Clean) => false,
            Some(Verdict::Hit) => true,
            Some(Verdict::Found(found)) => !found.is_empty(),
            Some(Verdict::Texts(texts)) => *texts != self.texts,
        };
        match (objects, self.check.mode) {
            (false, _) => Status::Success,
            (true, Mode::Enforce) => Status::Blocked,
            (true, Mode::Shadow) => Status::ShadowWouldBlock,
        }
    }

    /// The error of that status, if it is one.
    pub fn refuses(&self, status: Status) -> Option<Error> {
        let closed = self.check.on_error == OnError::Closed && self.check.mode == Mode::Enforce;
        let refuses = status == Status::Blocked || status == Status::Failed && closed;
        refuses.then(|| Error::ContentRefused { guardrail: Arc::clone(&self.check.name) })
    }
}

impl Phase {
    fn concerns_of(self, check: Option<&Arc<Check>>, kind: Kind) -> bool {
        check.is_some_and(|own| self.concerns(own, kind))
    }
}

/// Whether a string is shown to services: what somebody says, and what tools get and give.
fn is_shown(segment: &Segment) -> bool {
    !matches!(segment.kind, Kind::Identifier | Kind::Media | Kind::ToolName)
        && !segment.is_name()
        && !segment.text.is_empty()
}

impl Guard {
    /// The services that look at answers.
    pub fn services_of_answers(&self) -> Vec<usize> {
        let asks = |own: &Arc<Check>| own.asks().is_some() && own.looks_at_answers();
        (0..self.checks.len()).filter(|number| self.checks.get(*number).is_some_and(asks)).collect()
    }

    /// What a service is asked about a body; nothing if nothing in it concerns the service.
    ///
    /// # Errors
    /// [`Error::ContentRefused`]: the body cannot be looked at.
    fn inquiry(
        &mut self,
        number: usize,
        body: &[u8],
        form: Body,
        concerns: &dyn Fn(Kind) -> bool,
    ) -> Result<Option<Inquiry>, Error> {
        let Some(check) = self.checks.get(number).map(Arc::clone) else { return Ok(None) };
        let Ok(view) = View::of(body, form) else { return Err(self.unreadable()) };
        let shown = view.segments.iter().enumerate().filter(|(_, own)| is_shown(own) && concerns(own.kind));
        let (places, texts): (Vec<usize>, Vec<String>) =
            shown.map(|(number, own)| (number, own.text.clone())).unzip();
        Ok((!texts.is_empty()).then_some(Inquiry { check, texts, number, places }))
    }

    /// What a service is asked about a whole answer.
    ///
    /// # Errors
    /// [`Error::ContentRefused`]: the answer cannot be looked at.
    pub fn inquiry_of_answer(&mut self, number: usize, body: &[u8]) -> Result<Option<Inquiry>, Error> {
        let check = self.checks.get(number).map(Arc::clone);
        let concerns = |kind| Phase::Answer.concerns_of(check.as_ref(), kind);
        self.inquiry(number, body, Body::Answer, &concerns)
    }

    /// What a service is asked about a stream that is held back as a whole.
    ///
    /// # Errors
    /// [`Error::ContentRefused`]: an event cannot be looked at.
    pub fn inquiry_of_stream(&mut self, number: usize, stream: &[u8]) -> Result<Option<Inquiry>, Error> {
        let Some(check) = self.checks.get(number).map(Arc::clone) else { return Ok(None) };
        let concerns = |kind| Phase::Answer.concerns(&check, kind);
        let Some((running, alone)) = said_by(stream) else { return Err(self.unreadable()) };
        let running = running.into_iter().filter(|(channel, _)| concerns(channel.kind)).map(|(_, text)| text);
        let alone = alone.into_iter().filter(|own| is_shown(own) && concerns(own.kind)).map(|own| own.text);
        let texts: Vec<String> = running.chain(alone).filter(|text| !text.is_empty()).collect();
        Ok((!texts.is_empty()).then_some(Inquiry { check, texts, number, places: Vec::new() }))
    }

    /// Takes a service's word about an answer, in the client's dialect; its new body if something in it changes.
    ///
    /// # Errors
    /// [`Error::ContentRefused`].
    pub fn heard_of_answer(
        &mut self,
        inquiry: &Inquiry,
        heard: Option<Verdict>,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        self.heard(inquiry, heard, Phase::Answer, (body, Body::Answer), &mut Said::default())
    }

    /// Takes a service's word where nothing can be changed any more.
    ///
    /// # Errors
    /// [`Error::ContentRefused`].
    pub fn heard_at_last(&mut self, inquiry: &Inquiry, heard: Option<&Verdict>) -> Result<(), Error> {
        let status = inquiry.status(heard);
        self.report.set(&inquiry.check.name, status);
        inquiry.refuses(status).map_or(Ok(()), Err)
    }

    fn heard(
        &mut self,
        inquiry: &Inquiry,
        heard: Option<Verdict>,
        phase: Phase,
        (body, form): (&[u8], Body),
        said: &mut Said,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Inquiry { check, texts, number, places } = inquiry;
        let status = inquiry.status(heard.as_ref());
        if status != Status::Blocked {
            return self.heard_at_last(inquiry, heard.as_ref()).map(|()| None);
        }
        if spans::labels(check, said) {
            self.report.set(&check.name, Status::Intervened);
            return Ok(None);
        }
        let Ok(view) = View::of(body, form) else { return Err(self.unreadable()) };
        let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        let may_change = |place: &usize| view.segments.get(*place).is_some_and(Segment::may_change);
        match heard {
            // What a service rewrites goes on in its words; only where checks change nothing, `block` is meant.
            Some(Verdict::Texts(new)) if places.len() == new.len() => {
                for ((place, old), new) in places.iter().zip(texts).zip(new) {
                    if *old == new {
                        continue;
                    }
                    if !may_change(place) {
                        return self.heard_at_last(inquiry, Some(&Verdict::Hit)).map(|()| None);
                    }
                    changes.insert(*place, vec![Change { at: 0..old.len(), with: new }]);
                }
                self.report.set(&check.name, Status::Intervened);
            }
            Some(Verdict::Found(found)) if check.action != Action::Block => {
                for (place, text) in
                    places.iter().zip(texts).enumerate().map(|(nth, (place, text))| ((nth, *place), text))
                {
                    let (nth, place) = place;
                    let own = found.iter().filter(|(text, _)| *text == nth);
                    let hits: Vec<spans::Hit> = own
                        .map(|(_, own)| spans::Hit { check: *number, at: own.at.clone(), what: own.what })
                        .collect();
                    let own = self.decide(phase, text, hits, may_change(&place), said)?;
                    if !own.is_empty() {
                        changes.insert(place, own);
                    }
                }
            }
            _ => return self.heard_at_last(inquiry, Some(&Verdict::Hit)).map(|()| None),
        }
        Ok((!changes.is_empty()).then(|| view.rewritten(body, &changes)))
    }
}

/// What a whole stream says: running texts, and strings that stand for themselves.
fn said_by(stream: &[u8]) -> Option<(BTreeMap<Channel, String>, Vec<Segment>)> {
    let mut splitter = Splitter::new();
    splitter.buffer().extend_from_slice(stream);
    let mut running: BTreeMap<Channel, String> = BTreeMap::new();
    let mut alone = Vec::new();
    let mut take = |event: &Event<'_>| -> Option<()> {
        let layout = event.layout();
        let mut scratch = Vec::new();
        let data = event.data(&layout, &mut scratch);
        if data.trim_ascii().is_empty() || data.trim_ascii() == b"[DONE]" {
            return Some(());
        }
        for segment in View::of(data, Body::Event).ok()?.segments {
            match segment.channel {
                Some(channel) => running.entry(channel).or_default().push_str(&segment.text),
                None => alone.push(segment),
            }
        }
        Some(())
    };
    while let Some(event) = splitter.next_event().ok()? {
        take(&event)?;
    }
    if let Some(event) = splitter.last_event() {
        take(&event)?;
    }
    Some((running, alone))
}
