//! Calls to deployments on trial that wait for the shell to make them, out of the way of the requests they were copied
//! from; see [`crate::route::shadow`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::provider::Encoded;
use crate::route::bell::{Bell, any_rings};
use crate::route::shadow::Permit;
use crate::wire::Wire;

/// One call, ready to be sent. Holds the copy's content until it has been sent or dropped.
pub struct ShadowCall {
    pub(crate) encoded: Encoded,
    pub(crate) permit: Permit,
    pub(crate) wire: &'static dyn Wire,
    pub(crate) stream: bool,
    /// Estimated tokens of the prompt.
    pub(crate) tokens: u64,
}

/// Calls that wait. There are never more than permits allow.
#[derive(Default)]
pub struct Shadows {
    waiting: Mutex<VecDeque<ShadowCall>>,
    bell: Bell,
}

impl Shadows {
    pub(crate) fn push(&self, call: ShadowCall) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(call);
        self.bell.ring();
    }

    fn take(&self) -> Option<ShadowCall> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next call; waits until there is one.
    pub async fn next(&self) -> ShadowCall {
        loop {
            let rung = self.bell.rung();
            if let Some(call) = self.take() {
                return call;
            }
            any_rings(std::iter::once((&self.bell, rung))).await;
        }
    }
}
