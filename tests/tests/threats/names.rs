//! Row 31: the host answers in a provider's place, since names and routes are its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postern_tests::enclave::{Enclave, PROVIDER, Setup};
use postern_tests::http1::{Http1, chat};
use postern_tests::upstream::Identity;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the impostor got.
#[derive(Default)]
struct Got {
    connections: AtomicUsize,
    /// Bytes of requests, after TLS where there is TLS.
    bytes: AtomicUsize,
}

/// Listens as `api.example.com`, with a certificate of its own making if `tls`.
async fn impostor(tls: bool) -> (std::net::SocketAddr, Arc<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (acceptor, got) = (TlsAcceptor::from(Arc::new(config)), Arc::<Got>::default());
    let shared = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                if !tls {
                    return count(stream, &shared).await;
                }
                if let Ok(stream) = acceptor.accept(stream).await {
                    count(stream, &shared).await;
                }
            });
        }
    });
    (address, got)
}

async fn count(mut stream: impl AsyncRead + Unpin, got: &Got) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        got.bytes.fetch_add(count, Ordering::SeqCst);
    }
}

/// Asks a model at `api.example.com`, where the host leads to the impostor.
async fn asked(scheme: &str, led_to: std::net::SocketAddr) -> (u16, String) {
    let gateway = format!(
        "[gateway.deployments.far]\nprovider = \"openai_compatible\"\nmodel = \"m\"\nbase_url = \"{scheme}://api.example.com/v1\"\n\
         allow_plain_http = {}\ntimeouts = {{ response_head_ms = 1000 }}\n[gateway.models.far]\ndeployments = [\"far\"]",
        scheme == "http"
    );
    let enclave = Enclave::with(&Setup { gateway, led_to: Some(led_to), ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    let answer = client.post("/v1/chat/completions", &chat("far", false)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn row_31_a_provider_with_a_certificate_of_the_hosts_making_gets_no_prompt() {
    let (address, got) = impostor(true).await;
    let (status, text) = asked("https", address).await;
    assert!((500..600).contains(&status), "{status} {text}");
    assert!(got.connections.load(Ordering::SeqCst) > 0, "the enclave was led there");
    assert_eq!(got.bytes.load(Ordering::SeqCst), 0, "it was sent something");
    // control: a deployment that is plain by configuration tells him everything
    let (address, got) = impostor(false).await;
    asked("http", address).await;
    assert!(got.bytes.load(Ordering::SeqCst) > 100);
}

#[tokio::test]
async fn row_31_an_authority_is_believed_where_it_is_named_and_nowhere_else() {
    // Three deployments at one address. The provider's authority vouches for the first; of the others one names another
    // authority, and one believes the public web.
    let other = Identity::new(PROVIDER).roots;
    let deployment = |name: &str, lines: &str| {
        format!(
            "[gateway.deployments.{name}]\nprovider = \"openai_compatible\"\nmodel = \"m\"\n{lines}\n[gateway.models.{name}]\ndeployments = [\"{name}\"]\n"
        )
    };
    let address = "base_url = \"https://PROVIDER_ADDRESS/v1\"";
    let gateway = [
        deployment("elsewhere", &format!("{address}\ntls_roots = '''\n{other}'''")),
        deployment("web", address),
    ]
    .concat();
    let enclave = Enclave::with(&Setup { gateway, tls_provider: true, ..Setup::default() });
    let mut client = Http1::connect(enclave.address).await;
    for round in 1..=3 {
        let answer = client.post("/v1/chat/completions", &chat("fake", false)).await;
        assert_eq!(answer.status, 200, "control: the right authority: {}", answer.text());
        // There is an idle connection now that the first deployment may use, and no other may.
        for name in ["elsewhere", "web"] {
            let answer = client.post("/v1/chat/completions", &chat(name, false)).await;
            assert!((500..600).contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
        }
        assert_eq!(enclave.upstream.received().len(), round);
    }
    let shown = client.get("/.well-known/postern/config").await.json();
    let deployments = &shown["gateway"]["deployments"];
    assert!(deployments["web"]["tls_roots"].is_null() && deployments["fake"]["tls_roots"][0].is_string());
    assert_ne!(deployments["fake"]["tls_roots"], deployments["elsewhere"]["tls_roots"]);
}
