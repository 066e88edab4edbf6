//! Check first, then talk: a channel to a Postern gateway that exists only once the gateway has proved itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), postern_client::Error> {
//! let policy = postern_client::policy_file::load("policy.toml".as_ref())?;
//! let mut channel = postern_client::connect("https://gateway.example", policy).await?;
//! let request = http::Request::get("/v1/models").body(postern_client::empty_body()).unwrap();
//! let answer = channel.send(request).await.map_err(|failure| failure.error)?;
//! # Ok(()) }
//! ```
//!
//! What may be sent before that is a fixed set of questions about evidence; see [`channel::Unverified`].

#![cfg_attr(
    not(test),
    allow(
        clippy::arithmetic_side_effects,
        reason = "outside the TCB; sums here are of small bounded numbers and of instants a day ahead at most"
    )
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "a test that overflows fails")
)]

mod suggestion;
pub mod error;
pub mod target;
pub mod tls;
mod wire;
pub mod policy_file;
pub mod release;
pub mod state_file;
pub mod evidence_source;
pub mod channel;
pub mod local_proxy;
pub mod provisioning;
pub mod appraise;
pub mod evidence_view;

pub use channel::VerifiedChannel;
pub use error::{Error, Outcome};
pub use evidence_source::Verifier;
pub use policy_file::ClientPolicy;
pub use target::Target;
pub use wire::ChannelBody;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};

/// Opens one verified channel to `url` under `policy`, or says why not. Use a [`Verifier`] for more than one.
pub async fn connect(url: &str, policy: ClientPolicy) -> Result<VerifiedChannel, Error> {
    Verifier::new(Target::parse(url)?, policy)?.connect().await
}

/// A request without a body.
pub fn empty_body() -> ChannelBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A request body that is all there.
pub fn full_body(bytes: impl Into<Bytes>) -> ChannelBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
