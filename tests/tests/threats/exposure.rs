//! Row 32: content that only attested code may see, where nothing outside can prove that it is such code.

use postern_tests::enclave::{Enclave, KEY, Setup};
use postern_tests::http1::{Answer, Http1, chat, post_with};
use ring::digest::{SHA256, digest};

/// The key of somebody who lets nobody but attested code see what he asks.
const CAREFUL: &str = "sk-test-careful-8d2b6f0a4c9e7135";

fn deployment(lines: &str) -> Setup {
    let gateway = format!(
        "[gateway.deployments.far]\nprovider = \"openai_compatible\"\nmodel = \"m\"\n{lines}\n[gateway.models.far]\ndeployments = [\"far\"]"
    );
    Setup { gateway, ..Setup::default() }
}

async fn asked(enclave: &Enclave, key: &str, fields: &str, model: &str) -> Answer {
    let mut client = Http1::connect(enclave.address).await;
    let fields = format!("authorization: Bearer {key}\r\n{fields}");
    client.send(&post_with("/v1/chat/completions", &fields, &chat(model, false).to_string())).await.unwrap();
    client.answer().await.unwrap()
}

#[tokio::test]
async fn row_32_what_only_attested_code_may_see_goes_to_nobody_else() {
    // Whatever vouches for its name, nothing outside can be called attested.
    for address in ["http://UPSTREAM/v1", "https://api.example.com/v1"] {
        let lines = format!("base_url = \"{address}\"\nexposure = ");
        let (_, said) = Enclave::refused(&deployment(&format!("{lines}\"attested\"")));
        assert!(said.contains("deployments.far.exposure: ") && said.contains("nothing attests"), "{said}");
        assert_eq!(Enclave::tried(&deployment(&format!("{lines}\"contract_zdr\""))), Ok(()), "control");
    }
    let gateway = format!(
        "[[gateway.admission.keys]]\nid = \"careful\"\nsha256 = \"{}\"\nmodels = [\"*\"]\nrouting = {{ exposure_max = \"attested\" }}",
        hex::encode(digest(&SHA256, CAREFUL.as_bytes()))
    );
    let enclave = Enclave::with(&Setup { gateway, tls_provider: true, ..Setup::default() });
    for (key, fields) in [(CAREFUL, ""), (KEY, "postern-exposure-max: attested\r\n")] {
        let refused = asked(&enclave, key, fields, "fake").await;
        assert!((400..600).contains(&refused.status), "{} {}", refused.status, refused.text());
        assert_eq!(enclave.upstream.received().len(), 0, "the prompt was sent");
        let inside = asked(&enclave, key, fields, "builtin").await;
        assert_eq!(inside.status, 200, "control: attested code answers: {}", inside.text());
    }
    assert_eq!(asked(&enclave, KEY, "", "fake").await.status, 200);
    assert_eq!(enclave.upstream.received().len(), 1, "control: who does not mind is served by the provider");
}
