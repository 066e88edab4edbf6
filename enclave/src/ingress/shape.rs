//! What lengths and times of a streamed answer tell those who see only ciphertext.
//!
//! A stream that passes on each token as it comes shows the length of every word in the size of a record. Shaped,
//! it shows multiples of a frame size that does not follow the words, at the beats of a clock. Padding is comment
//! lines, which every reader of event streams skips (HTML Living Standard, section 9.2.6), or white space where clients
//! are known not to, always before the events of a piece, so that the terminal event stays last. Buffered answers are JSON and end in spaces, up to a size of which
//! there are few (Padmé: at most 12 % more).

mod frames;
mod padding;

use std::pin::Pin;
use std::time::Duration;

use gateway::error::Shape as Words;
use gateway::{AnswerStream, Clock, Plaintext, Step};
use tokio::time::{Instant, Sleep, sleep_until};

use self::frames::Frames;
use self::padding::Filler;
use crate::clock::deadline;
use crate::config::StreamShape;
use crate::padding::padded_length;
use crate::upstream::UpstreamBody;

/// How long the body of a buffered JSON answer of `length` bytes becomes.
pub fn whole_length(shape: StreamShape, length: usize) -> usize {
    match shape {
        StreamShape::Bucketed | StreamShape::Constant => padded_length(length),
        StreamShape::None => length,
    }
}

/// A streamed answer in its shape. Like the stream itself it can be dropped and asked again at any await.
pub struct Shaped {
    stream: Box<AnswerStream<UpstreamBody>>,
    shape: StreamShape,
    frames: Frames,
    /// When the first piece left; all beats count from it.
    began: Option<Instant>,
    beat: Pin<Box<Sleep>>,
    /// The beat lies ahead.
    beats: bool,
    /// Frames of a constant stream that have left.
    sent: u32,
    /// The stream's own last step, once it has ended.
    over: Option<Step>,
}

impl Shaped {
    /// Nothing sent yet.
    pub fn new(stream: Box<AnswerStream<UpstreamBody>>, shape: StreamShape) -> Self {
        let beat = Box::pin(sleep_until(Instant::now()));
        let filler = match stream.shape() {
            Words::Anthropic | Words::OpenAi => Filler::Comments,
            Words::Google => Filler::WhiteSpace,
        };
        Self {
            stream,
            shape,
            frames: Frames::new(filler),
            began: None,
            beat,
            beats: false,
            sent: 0,
            over: None,
        }
    }

    /// Appends what is to be sent next to `out`; as [`AnswerStream::next`].
    pub async fn next(&mut self, out: &mut Plaintext<Vec<u8>>, clock: &impl Clock) -> Step {
        match self.shape {
            StreamShape::None => self.stream.next(out, clock).await,
            StreamShape::Bucketed => self.bucketed(out, clock).await,
            StreamShape::Constant => self.constant(out, clock).await,
        }
    }

    /// Appends what was collected and not sent, and the event that says why the stream must end before its end.
    pub fn fail(&mut self, error: &gateway::Error, out: &mut Plaintext<Vec<u8>>) {
        self.frames.release(out.expose_mut());
        self.stream.append_failure(error, out);
    }

    /// See [`AnswerStream::keep_alive`].
    pub const fn keep_alive(&self) -> &'static [u8] {
        self.stream.keep_alive()
    }

    /// See [`AnswerStream::into_upstream_body`].
    pub fn into_upstream_body(self) -> Option<UpstreamBody> {
        self.stream.into_upstream_body()
    }

    /// The first piece leaves as it comes, since people wait for it; then at each beat, or when eight events have
    /// come together.
    async fn bucketed(&mut self, out: &mut Plaintext<Vec<u8>>, clock: &impl Clock) -> Step {
        while self.over.is_none() {
            let waiting = !self.frames.is_empty();
            let step = tokio::select! {
                biased;
                step = self.stream.next(self.frames.sink(), clock) => step,
                () = self.beat.as_mut(), if waiting => break,
            };
            self.frames.count();
            if step != Step::More {
                self.over = Some(step);
            } else if self.began.is_none() || self.frames.events() >= MOST_EVENTS {
                break;
            } else if !waiting {
                self.wait_for_beat(BUCKET_TIME);
            }
        }
        self.began.get_or_insert_with(Instant::now);
        self.frames.release(out.expose_mut());
        self.over.unwrap_or(Step::More)
    }

    /// A frame at each beat, full or not. The last event waits until the number of frames is one of a few.
    async fn constant(&mut self, out: &mut Plaintext<Vec<u8>>, clock: &impl Clock) -> Step {
        let first = self.began.is_none();
        if first {
            let step = self.stream.next(self.frames.sink(), clock).await;
            self.frames.count();
            self.over = (step != Step::More).then_some(step);
            self.began = Some(Instant::now());
        } else {
            if !self.beats {
                self.wait_for_beat(FRAME_TIME);
            }
            loop {
                let reads = self.over.is_none() && self.frames.waiting() < MOST_WAITING;
                tokio::select! {
                    step = self.stream.next(self.frames.sink(), clock), if reads => {
                        self.frames.count();
                        self.over = (step != Step::More).then_some(step);
                    }
                    () = self.beat.as_mut() => {
                        self.beats = false;
                        break;
                    }
                }
            }
        }
        let may_end = may_end(self.sent);
        self.sent = self.sent.saturating_add(1);
        if self.over.is_some() && self.frames.fits(FRAME_BYTES) && may_end {
            self.frames.last(out.expose_mut(), FRAME_BYTES);
            return self.over.unwrap_or(Step::More);
        }
        self.frames.fill(out.expose_mut(), FRAME_BYTES, self.over.is_some());
        Step::More
    }

    /// The beat is the next multiple of `every` since the beginning.
    fn wait_for_beat(&mut self, every: Duration) {
        let elapsed = self.began.map(|began| began.elapsed()).unwrap_or_default();
        let into = elapsed.as_micros().checked_rem(every.as_micros()).unwrap_or_default();
        let into = Duration::from_micros(u64::try_from(into).unwrap_or_default());
        self.beat.as_mut().reset(deadline(every.saturating_sub(into)));
        self.beats = true;
    }
}

/// Whether a stream may end with its next frame, `sent` having left: after a power of two of seconds.
const fn may_end(sent: u32) -> bool {
    let frames = sent.saturating_add(1);
    let seconds = frames / FRAMES_PER_SECOND;
    frames.is_multiple_of(FRAMES_PER_SECOND) && seconds.is_power_of_two()
}

/// How long events are collected.
const BUCKET_TIME: Duration = Duration::from_millis(50);
/// How many events are collected.
const MOST_EVENTS: usize = 8;
/// How often a frame of a constant stream leaves.
const FRAME_TIME: Duration = Duration::from_millis(100);
/// The same, as a number.
const FRAMES_PER_SECOND: u32 = 10;
/// Size of a frame of a constant stream, in bytes: 40 KB a second, some hundred and fifty tokens.
const FRAME_BYTES: usize = 4096;
/// How much may wait for its frame before upstream is no longer read, in bytes.
const MOST_WAITING: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_streams_last_powers_of_two() {
        let ends: Vec<u32> = (0..200).filter(|sent| may_end(*sent)).map(|sent| sent + 1).collect();
        assert_eq!(ends, [10, 20, 40, 80, 160]);
    }
}
