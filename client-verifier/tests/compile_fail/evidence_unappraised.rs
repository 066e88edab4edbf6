//! Raw evidence does not bind: only an appraisal makes what `bind` takes.

async fn bind(
    mut connection: postern_client::channel::Unverified,
    policy: &postern_client::ClientPolicy,
    nonce: &attestation::Nonce,
) {
    let evidence = connection.evidence(nonce).await.unwrap();
    let _channel = connection.bind(evidence, policy).await;
}

fn main() {}
