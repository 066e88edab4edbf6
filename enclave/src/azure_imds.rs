//! The quote of a TD report that Azure's host makes: `POST http://169.254.169.254/acc/tdquote`, through the host link
//! like everything else that leaves. What comes back is untrusted; clients compare it with the report, and Intel's
//! signature is all that counts.

use std::io;
use std::time::Duration;

use attestation::attester::AttesterError;
use attestation::attester::azure_vtpm::{TD_REPORT_BYTES, TdQuoter};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::host_link::HostLink;
use crate::http1::chunked::ChunkedDecoder;
use crate::http1::head::Framing;
use crate::http1::response::parse_response;

/// The metadata service; `postern-host` has to allow it in `egress.allow`.
const HOST: &str = "169.254.169.254";
const PORT: u16 = 80;
const PATH: &str = "/acc/tdquote";

/// How long one quote may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest response.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Asks the metadata service over `host`. To be called on a thread that may block, inside the runtime.
pub fn quoter(host: Option<HostLink>) -> TdQuoter {
    Box::new(move |report| {
        let link = "host.egress must be set: the quote of an Azure TD comes from the host";
        let host = host.as_ref().ok_or(AttesterError::Unavailable(link))?;
        let runtime = Handle::try_current()
            .map_err(|_| AttesterError::Unavailable("no runtime to reach the host with"))?;
        runtime.block_on(async {
            let asked = async {
                let refused = "the host does not let the enclave reach 169.254.169.254:80 (egress.allow)";
                let stream =
                    host.connect(HOST, PORT).await.map_err(|_| AttesterError::Unavailable(refused))?;
                ask(stream, report).await
            };
            let late = AttesterError::Io { doing: "waiting for the TD quote", kind: io::ErrorKind::TimedOut };
            timeout(DEADLINE, asked).await.unwrap_or(Err(late))
        })
    })
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    report: &[u8; TD_REPORT_BYTES],
) -> Result<Vec<u8>, AttesterError> {
    let failed =
        |doing: &'static str| move |error: io::Error| AttesterError::Io { doing, kind: error.kind() };
    let body = format!(r#"{{"report":"{}"}}"#, URL_SAFE_NO_PAD.encode(report));
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(failed("asking for the TD quote"))?;
    let mut response = Vec::new();
    let most = u64::try_from(MAX_RESPONSE_BYTES).unwrap_or(u64::MAX);
    stream.take(most).read_to_end(&mut response).await.map_err(failed("reading the TD quote"))?;
    quote(&response).ok_or(AttesterError::Malformed("no TD quote in the metadata service's answer"))
}

/// The quote in a whole response with status 200.
fn quote(response: &[u8]) -> Option<Vec<u8>> {
    let head = parse_response(response).ok()??;
    let rest = response.get(head.length..)?;
    let mut decoded = Vec::new();
    let body = match head.framing {
        Framing::Length(length) => rest.get(..usize::try_from(length).ok()?)?,
        Framing::UntilClose => rest,
        Framing::Chunked => {
            let mut decoder = ChunkedDecoder::default();
            decoder.decode(rest, &mut decoded).ok()?;
            if !decoder.is_done() {
                return None;
            }
            decoded.as_slice()
        }
        Framing::None => return None,
    };
    if head.status != 200 {
        return None;
    }
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = answer.get("quote")?.as_str()?;
    let quote = if text.ends_with('=') { URL_SAFE.decode(text) } else { URL_SAFE_NO_PAD.decode(text) };
    quote.ok().filter(|quote| !quote.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: [u8; TD_REPORT_BYTES] = [0xfb; TD_REPORT_BYTES];

    /// The answer of a metadata service that is asked as it should be.
    async fn exchange(answer: &'static [u8]) -> Result<Vec<u8>, AttesterError> {
        let (near, mut far) = tokio::io::duplex(8192);
        let service = tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let mut length = 0;
            let wanted = 1366 + r#"{"report":""}"#.len();
            while !request[..length].ends_with(b"}") {
                length += far.read(&mut request[length..]).await.unwrap();
            }
            let text = String::from_utf8(request[..length].to_vec()).unwrap();
            assert!(text.starts_with("POST /acc/tdquote HTTP/1.1\r\nhost: 169.254.169.254\r\n"), "{text}");
            assert!(text.contains(&format!("content-length: {wanted}\r\n")), "{text}");
            assert!(text.ends_with(&format!(r#"{{"report":"{}"}}"#, URL_SAFE_NO_PAD.encode(REPORT))));
            far.write_all(answer).await.unwrap();
        });
        let quote = ask(near, &REPORT).await;
        service.await.unwrap();
        quote
    }

    #[tokio::test]
    async fn the_quote_is_taken_from_every_framing() {
        for answer in [
            b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"quote\":\"-_8A\"}".as_slice(),
            b"HTTP/1.1 200 OK\r\n\r\n{\"quote\":\"-_8A\"}",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"quote\":\"-_8A\"}\r\n0\r\n\r\n",
        ] {
            assert_eq!(exchange(answer).await, Ok(vec![0xfb, 0xff, 0]));
        }
    }

    #[tokio::test]
    async fn everything_else_is_malformed() {
        for answer in [
            b"".as_slice(),
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 500 No\r\n\r\n{\"quote\":\"-_8A\"}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"quote\":\"-_8A\"}",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"quote\":\"-_8A\"}\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n{\"quote\":\"\"}",
            b"HTTP/1.1 200 OK\r\n\r\n{\"quote\":\"+/8A\"}",
            b"HTTP/1.1 200 OK\r\n\r\n{\"quote\":1}",
        ] {
            assert!(matches!(exchange(answer).await, Err(AttesterError::Malformed(_))));
        }
    }

    #[test]
    fn without_a_host_there_is_no_quote() {
        assert!(matches!(quoter(None)(&REPORT), Err(AttesterError::Unavailable(_))));
    }
}
