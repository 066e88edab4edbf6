//! Raw evidence does not bind: only an appraisal makes what `bind` takes, and nothing converts one into the other.

async fn bind(mut connection: postern_client::channel::Unverified, nonce: &attestation::Nonce) {
    let evidence = connection.evidence(nonce).await.unwrap();
    let _appraised: postern_client::evidence_source::Appraised = evidence;
}

fn main() {}
