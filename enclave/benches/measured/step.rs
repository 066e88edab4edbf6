//! One step of a bench that has no reason to be repeated, by both clocks.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// Since when.
pub(crate) struct Step {
    wall: Instant,
    processor: f64,
}

impl Step {
    /// Now.
    pub(crate) fn begin() -> Self {
        Self { wall: Instant::now(), processor: processor_seconds() }
    }

    /// Prints what it took, and what of that fell to each of so many.
    pub(crate) fn end(self, name: &str, each_of: u64) {
        let (processor, wall) = (processor_seconds() - self.processor, self.wall.elapsed().as_secs_f64());
        let each = processor * 1e6 / each_of as f64;
        println!("{name:>22}: {processor:.2} s of processor time ({each:.2} us each), {wall:.2} s");
    }
}

/// Of this process so far, all threads.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
