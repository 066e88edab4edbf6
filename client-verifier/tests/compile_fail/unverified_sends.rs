//! An unverified connection has no way to send an application request.

async fn send(target: &postern_client::Target, tls: &postern_client::tls::TlsSettings) {
    let mut connection = postern_client::channel::Unverified::dial(target, tls).await.unwrap();
    let request = http::Request::get("/v1/models").body(postern_client::empty_body()).unwrap();
    let _answer = connection.send(request).await;
}

fn main() {}
