//! One GET over HTTP or HTTPS, bounded in every direction. The caller bounds the time.
//!
//! What comes back is untrusted even over HTTPS (signatures inside decide), so plain HTTP is good enough for
//! a mirror in the operator's own network. No redirects, no proxies, no connection kept.

use std::{io, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, HOST, HeaderMap, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use link::EndorsementDocument;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// TLS settings, made once.
pub(super) struct Client {
    tls: Option<TlsConnector>,
}

/// A document as the vendor sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    /// PEM, percent-decoded; empty when the document has none.
    pub(super) chain: Vec<u8>,
    pub(super) body: Bytes,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum FetchError {
    Failed,
    NotFound,
    TooLarge,
    TooMany { retry_after: Option<Duration> },
}

impl Client {
    /// Trusts the web's certificate authorities.
    pub(super) fn new() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    fn trusting(roots: RootCertStore) -> Self {
        Self { tls: tls(roots) }
    }

    /// Fetches `url`; with `chain_header`, the answer must carry that header.
    pub(super) async fn get(&self, url: &str, chain_header: Option<&str>) -> Result<Fetched, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Failed)?;
        let host = uri.host().ok_or(FetchError::Failed)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let stream = TcpStream::connect((bare, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if https {
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchError::Failed)?;
            let tls = self.tls.as_ref().ok_or(FetchError::Failed)?;
            let stream = tls.connect(name, stream).await.map_err(failed)?;
            exchange(stream, &uri, chain_header).await
        } else {
            exchange(stream, &uri, chain_header).await
        }
    }
}

async fn exchange<S>(stream: S, uri: &Uri, chain_header: Option<&str>) -> Result<Fetched, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| FetchError::Failed)?;
    // Ends with `sender` and the response.
    let connection = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("postern-host/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Failed)?;
    let response = sender.send_request(request).await.map_err(|_| FetchError::Failed)?;
    let result = read_answer(response, chain_header).await;
    connection.abort();
    result
}

async fn read_answer(
    response: Response<Incoming>,
    chain_header: Option<&str>,
) -> Result<Fetched, FetchError> {
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(FetchError::NotFound),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            return Err(FetchError::TooMany { retry_after: retry_after(response.headers()) });
        }
        _ => return Err(FetchError::Failed),
    }
    let chain = match chain_header {
        Some(name) => {
            let value = response.headers().get(name).ok_or(FetchError::Failed)?;
            percent_decoded(value.as_bytes()).ok_or(FetchError::Failed)?
        }
        None => Vec::new(),
    };
    let most = usize::try_from(EndorsementDocument::MAX_BYTES).unwrap_or(usize::MAX);
    let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() { FetchError::TooLarge } else { FetchError::Failed }
    })?;
    let body = body.to_bytes();
    if body.is_empty() { Err(FetchError::Failed) } else { Ok(Fetched { chain, body }) }
}

/// Seconds only; the date form is not used by the vendors.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(*rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

fn tls(roots: RootCertStore) -> Option<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
}

/// The caller learns only that it failed: messages could carry the vendor's bytes.
fn failed(_: io::Error) -> FetchError {
    FetchError::Failed
}

/// Largest head of an answer; Intel's issuer chain takes 3 KiB of it.
const HEAD_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn chains_are_percent_decoded_strictly() {
        assert_eq!(percent_decoded(b"-----BEGIN%20X%0A+/="), Some(b"-----BEGIN X\n+/=".to_vec()));
        for bad in [&b"%"[..], b"%4", b"%zz", b"a%+1"] {
            assert_eq!(percent_decoded(bad), None);
        }
    }

    /// A vendor with a certificate for `localhost` that nobody else knows.
    async fn https_vendor() -> (String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlist").await.unwrap();
            }
        });
        (format!("https://localhost:{port}/vcek/v1/Genoa/crl"), certificate)
    }

    #[tokio::test]
    async fn https_works_with_a_certificate_that_is_trusted_and_only_then() {
        let (url, certificate) = https_vendor().await;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let fetched = Client::trusting(roots).get(&url, None).await.unwrap();
        assert_eq!(&fetched.body[..], b"list");
        assert_eq!(Client::new().get(&url, None).await, Err(FetchError::Failed));
    }
}
