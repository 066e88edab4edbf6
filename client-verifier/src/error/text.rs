//! The errors in words: one line each, lower case, facts of our own only.

use std::fmt;

use attestation::Rejection;

use super::{Document, Error, NetworkFault, Step, TlsFault, Truncation, UrlFault};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appraisal(rejected) => write_rejection(f, &rejected.rejection),
            Self::Binding(rejection) => write_rejection(f, rejection),
            Self::BindRefused { status } => {
                write!(f, "the server did not sign this connection (status {status})")
            }
            Self::EvidenceUnknown => f.write_str("the server no longer knows the evidence it gave"),
            Self::EvidenceMissing { document, status } => {
                write!(f, "no {document} where it should be (status {status}, or another media type)")
            }
            Self::EvidenceUnavailable { status, .. } => {
                write!(f, "the gateway has no evidence at the moment (status {status})")
            }
            Self::Expired => f.write_str("the evidence behind this channel is too old"),
            Self::Network { step, fault } => write!(f, "{fault} while {step}"),
            Self::Policy(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Tls(fault) => fault.fmt(f),
            Self::Truncated(how) => how.fmt(f),
            Self::Entropy => f.write_str("no random numbers from the operating system"),
            Self::Url(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "public configuration",
            Self::Evidence => "evidence",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "sending a request",
            Self::Bind => "binding the connection",
            Self::Connect => "connecting",
            Self::Evidence => "fetching evidence",
            Self::Resolve => "looking up the name",
            Self::TlsHandshake => "shaking hands",
            Self::Wait => "waiting for a free channel",
        })
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::Garbled => f.write_str("the answer was not well-formed HTTP of the allowed size"),
            Self::Io(kind) => kind.fmt(f),
            Self::TimedOut => f.write_str("no progress in time"),
        }
    }
}

impl TlsFault {
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::KeyExchange => {
                "the server must offer X25519MLKEM768; `post_quantum = \"compat\"` in the policy also allows X25519"
            }
            Self::WebPki => {
                "the name needs a publicly trusted certificate, or the policy must say `webpki = \"not-required\"`"
            }
            Self::NotTls => "check the port: it does not speak TLS",
            Self::Alpn
            | Self::Certificate
            | Self::Configuration
            | Self::Other
            | Self::Resumed
            | Self::Version => {
                "a Postern enclave speaks TLS 1.3 with ALPN http/1.1; check what answers at this address"
            }
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpn => "the server did not agree on http/1.1 by ALPN",
            Self::Certificate => "the server's certificate or its handshake signature is not valid",
            Self::Configuration => "the TLS settings could not be applied",
            Self::KeyExchange => "the server did not agree on a key exchange that the policy allows",
            Self::NotTls => "the answer was not TLS",
            Self::Other => "the server broke the TLS handshake off",
            Self::Resumed => "the server resumed a session that was never offered",
            Self::Version => "the server did not agree on TLS 1.3",
            Self::WebPki => "the certificate does not chain to a public root for this name",
        })
    }
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "the answer ended before its announced end",
            Self::HardLimit => "the answer ran longer than an answer may outlive its evidence",
            Self::Unframed => "the answer has no announced end",
            Self::TerminalEvent => "the event stream ended without its terminal event",
        })
    }
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the gateway URL cannot be parsed",
            Self::NotBare => "the gateway URL must not have a path, a query or user information",
            Self::Scheme => "the gateway URL must begin with https://",
        })
    }
}

fn write_rejection(f: &mut fmt::Formatter<'_>, rejection: &Rejection) -> fmt::Result {
    write!(f, "{}: expected {}, found {}", rejection.field, rejection.expected, rejection.found)
}
