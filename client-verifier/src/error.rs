//! Every way a connection attempt can end other than well, with a stable code, who may try again, and what to do next.
//! Nothing here holds bytes from outside: no bodies, no headers, no keys, no library error text.

use std::sync::Arc;
use std::time::Duration;

use attestation::Rejected;
use attestation::rejection::{Code, Rejection, Retry};

use crate::policy_file::PolicyError;
use crate::state_file::StateError;

mod text;

/// Why there is no verified channel, or why an answer over one cannot be trusted to be whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The evidence was appraised and refused.
    Appraisal(Arc<Rejected>),
    /// The evidence is good, but not about this connection (`BIND_SPKI`, `BIND_SESSION`).
    Binding(Rejection),
    /// The server would not vouch for this connection.
    BindRefused {
        /// HTTP status of its answer.
        status: u16,
    },
    /// The server does not know the evidence that the binding refers to: it restarted, or another replica answered.
    EvidenceUnknown,
    /// There is no usable answer where the evidence should be (`ATT_MISSING`).
    EvidenceMissing {
        /// Which document was asked for.
        document: Document,
        /// HTTP status of the answer.
        status: u16,
    },
    /// The server has no evidence at the moment.
    EvidenceUnavailable {
        /// HTTP status of the answer (429 or 5xx).
        status: u16,
        /// What `Retry-After` asked for, at most an hour.
        retry_after: Option<Duration>,
    },
    /// The evidence behind this channel has aged; open a new channel.
    Expired,
    /// The network, not the server, decided.
    Network {
        /// What was being done.
        step: Step,
        /// How it failed.
        fault: NetworkFault,
    },
    /// The policy file cannot be used.
    Policy(PolicyError),
    /// What was remembered from earlier runs contradicts this result, or cannot be read or kept.
    State(StateError),
    /// The TLS handshake was refused, by us or by the server.
    Tls(TlsFault),
    /// An answer that did not end the way its framing promised.
    Truncated(Truncation),
    /// The operating system's random number generator failed.
    Entropy,
    /// The URL of the gateway cannot be used.
    Url(UrlFault),
}

/// The two documents that a client fetches before it believes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `GET /.well-known/postern/config`
    Config,
    /// `POST /.well-known/postern/evidence`
    Evidence,
}

/// What was being done when the network failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Sending an application request.
    Application,
    /// `POST /.well-known/postern/bind`
    Bind,
    /// Opening the TCP connection.
    Connect,
    /// Fetching evidence or configuration.
    Evidence,
    /// Looking the name up.
    Resolve,
    /// The TLS handshake.
    TlsHandshake,
    /// Waiting for a free channel.
    Wait,
}

/// How the network failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// The peer closed or reset the connection.
    Closed,
    /// What came is not HTTP as asked for, or longer than allowed.
    Garbled,
    /// The operating system's word for it.
    Io(std::io::ErrorKind),
    /// Nothing happened within the time allowed.
    TimedOut,
}

/// Why a handshake does not count. All but `KeyExchange` are `PROTO_TLS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// No ALPN, or not the protocol that was offered.
    Alpn,
    /// The certificate cannot be parsed, or its signature over the handshake is wrong.
    Certificate,
    /// The library settings for TLS were refused (a programming or platform fault).
    Configuration,
    /// No key exchange group that the policy allows (`PROTO_PQ`).
    KeyExchange,
    /// The answer was not TLS.
    NotTls,
    /// The peer broke the protocol in another way, or sent another alert.
    Other,
    /// A session was resumed although none was offered.
    Resumed,
    /// TLS 1.3 was not agreed.
    Version,
    /// The policy says `webpki = "required"` and the certificate does not chain to a public root for this name.
    WebPki,
}

/// How an answer fell short of its framing (`CHAN_TRUNCATED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// The connection ended before the announced end of the body.
    Body,
    /// The stream ran longer than the hard limit for answers in flight.
    HardLimit,
    /// The head announces neither a length nor chunks: its end could not be told from a cut.
    Unframed,
    /// An event stream ended without its terminal event.
    TerminalEvent,
}

/// What is wrong with a gateway URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlFault {
    /// It cannot be parsed as `https://NAME[:PORT]`.
    Malformed,
    /// It has a path, a query or user information.
    NotBare,
    /// Its scheme is not `https`.
    Scheme,
}

/// What a caller may conclude, as an exit code knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway is not what the policy demands.
    Rejected,
    /// The command, the policy or a local file is at fault.
    Usage,
    /// Nobody can tell: the network failed, or something the verdict needs was missing.
    Undecided,
}

impl Error {
    /// The stable code, as `verification-policy` and `protocol` list them.
    pub fn code(&self) -> &str {
        match self {
            Self::Appraisal(rejected) => rejected.rejection.code.as_str(),
            Self::Binding(rejection) => rejection.code.as_str(),
            Self::BindRefused { .. } => "BIND_SESSION",
            Self::EvidenceUnknown => "EVIDENCE_UNKNOWN",
            Self::EvidenceMissing { .. } => "ATT_MISSING",
            Self::EvidenceUnavailable { .. } => "EVIDENCE_UNAVAILABLE",
            Self::Expired => "ATT_STALE",
            Self::Network { fault, .. } => match fault {
                NetworkFault::Closed => "NET_CLOSED",
                NetworkFault::Garbled => "CHAN_MALFORMED",
                NetworkFault::Io(_) => "NET_UNREACHABLE",
                NetworkFault::TimedOut => "NET_TIMEOUT",
            },
            Self::Policy(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Tls(TlsFault::KeyExchange) => "PROTO_PQ",
            Self::Tls(TlsFault::WebPki) => "PROTO_WEBPKI",
            Self::Tls(_) => "PROTO_TLS",
            Self::Truncated(_) => "CHAN_TRUNCATED",
            Self::Entropy => "LOCAL_ENTROPY",
            Self::Url(_) => "URL_INVALID",
        }
    }

    /// Rejected, unusable input, or undecided.
    pub fn outcome(&self) -> Outcome {
        match self {
            // What the verdict needs was not there, or our own data has aged: nobody can tell.
            Self::Appraisal(rejected)
                if matches!(
                    rejected.rejection.code,
                    Code::SnpCrlMissing | Code::CheckSkipped | Code::PolFloorsStale
                ) =>
            {
                Outcome::Undecided
            }
            Self::Appraisal(_)
            | Self::Binding(_)
            | Self::BindRefused { .. }
            | Self::EvidenceMissing { .. }
            | Self::Tls(_) => Outcome::Rejected,
            Self::EvidenceUnknown
            | Self::EvidenceUnavailable { .. }
            | Self::Expired
            | Self::Network { .. }
            | Self::Truncated(_)
            | Self::Entropy => Outcome::Undecided,
            Self::Policy(_) | Self::Url(_) => Outcome::Usage,
            Self::State(error) => error.outcome(),
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Appraisal(rejected) => rejected.rejection.code.retry(),
            Self::Binding(rejection) => rejection.code.retry(),
            Self::EvidenceUnknown | Self::Expired => Retry::RefreshEvidence,
            Self::EvidenceUnavailable { .. } | Self::Network { .. } | Self::Truncated(_) | Self::Entropy => {
                Retry::RetryLater
            }
            Self::BindRefused { .. }
            | Self::EvidenceMissing { .. }
            | Self::Policy(_)
            | Self::State(_)
            | Self::Tls(_)
            | Self::Url(_) => Retry::Never,
        }
    }

    /// How long the server asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::EvidenceUnavailable { retry_after, .. } = self { *retry_after } else { None }
    }

    /// The next command or action for a person, without a full stop.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Appraisal(rejected)
                if matches!(rejected.rejection.code, Code::AttStale | Code::AttKeysetExpired) =>
            {
                "set this machine's clock and try again; if it is right, the gateway's is wrong: tell its operator"
            }
            Self::Appraisal(_) => {
                "run `postern verify URL --policy FILE` to see every check with expected and found"
            }
            Self::Binding(_) | Self::BindRefused { .. } => {
                "something between you and the enclave answers in its place; do not send it anything"
            }
            Self::EvidenceUnknown | Self::Expired => "try again: new evidence will be fetched",
            Self::EvidenceMissing { .. } => {
                "check that the URL is a Postern gateway and that nothing in between rewrites answers"
            }
            Self::EvidenceUnavailable { .. } => {
                "try again later; if it lasts, the operator must look at the enclave's log"
            }
            Self::Network { step, .. } => match step {
                Step::Resolve => "check the name in the URL, or give the address with --connect HOST:PORT",
                Step::Application
                | Step::Bind
                | Step::Connect
                | Step::Evidence
                | Step::TlsHandshake
                | Step::Wait => {
                    "check that the relay and the enclave are running and reachable, then try again"
                }
            },
            Self::Policy(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Tls(fault) => fault.hint(),
            Self::Truncated(_) => "the answer is incomplete: discard it and ask again",
            Self::Entropy => {
                "the operating system's random number generator failed; do not go on with this machine"
            }
            Self::Url(_) => "write the gateway as https://NAME or https://NAME:PORT",
        }
    }
}

impl std::error::Error for Error {}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<TlsFault> for Error {
    fn from(fault: TlsFault) -> Self {
        Self::Tls(fault)
    }
}
