//! Ctrl-C and SIGTERM as something to ask about and to wait for.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Whether somebody asked to stop.
pub(crate) struct Interrupt {
    signals: Receiver<()>,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(Failure::file("wait for signals in", PathBuf::from("this process")))?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for _ in signals.forever() {
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { signals: receiver })
    }

    /// Waits, at most this long; `Err(Interrupted)` at once when asked to stop.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Failure> {
        match self.signals.recv_timeout(time) {
            Ok(()) => Err(Failure::Interrupted),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(time);
                Ok(())
            }
        }
    }
}
