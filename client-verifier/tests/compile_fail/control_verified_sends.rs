//! The control for the cases beside it: the same steps through `bind` compile.

async fn send(
    verifier: &postern_client::Verifier,
    target: &postern_client::Target,
    tls: &postern_client::tls::TlsSettings,
) {
    let _connection = postern_client::channel::Unverified::dial(target, tls).await.unwrap();
    let mut channel = verifier.connect().await.unwrap();
    let request = http::Request::get("/v1/models").body(postern_client::empty_body()).unwrap();
    let _answer = channel.send(request).await;
}

fn main() {
    let _never_run = send;
}
