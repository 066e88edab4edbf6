//! Rows 20 and 21 on the other side: the host between the enclave and a provider that speaks TLS.

use postern_tests::enclave::{Enclave, Setup};
use postern_tests::evilhost::{Action, End, Fault, Plan};
use postern_tests::http1::{Answer, Http1, chat};
use postern_tests::upstream::{self, Step};

/// Longest that faults are planned into the bytes of the provider: its handshake and its answer are longer.
const SPAN: usize = 6000;

/// What the provider says, streamed and whole, in as many words.
fn texts() -> Vec<String> {
    (0..20).map(|number| format!("piece {number} ")).collect()
}

/// An enclave to whose connections to the provider this happens, one after the other.
fn enclave(providers_leg: Vec<Plan>) -> Enclave {
    // Each attempt is on a new connection, and none is made again.
    let gateway = "[gateway.models.once]\ndeployments = [\"fake\"]\nretry = { max_attempts = 1 }".to_owned();
    let enclave = Enclave::with(&Setup { gateway, providers_leg, tls_provider: true, ..Setup::default() });
    enclave.upstream.plan(|request| {
        let texts = texts();
        let mut steps = if request.json()["stream"] == true {
            upstream::stream(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        } else {
            let mut body = upstream::completion();
            body["choices"][0]["message"]["content"] = texts.concat().repeat(20).into();
            // Without a length, so that only the end of the connection ends it.
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n".to_vec();
            vec![Step::Send(head), Step::Send(body.to_string().into_bytes())]
        };
        steps.push(Step::Close);
        steps
    });
    enclave
}

async fn asked(enclave: &Enclave, stream: bool) -> Option<Answer> {
    let mut client = Http1::connect(enclave.address).await;
    client.send(&upstream_request(stream)).await.unwrap();
    client.answer().await
}

fn upstream_request(stream: bool) -> Vec<u8> {
    postern_tests::http1::post("/v1/chat/completions", &chat("once", stream).to_string())
}

/// What an answer says, without the frames that a shape puts around it.
fn words(answer: &Answer) -> String {
    let text = answer.text();
    let pieces = text.split("\"content\":\"").skip(1);
    pieces.filter_map(|rest| rest.split('"').next()).collect()
}

/// Streams answers through these faults: nobody is told what the provider did not say, and nobody takes a part for the whole.
async fn holds_against(plans: Vec<Plan>) {
    let (count, whole) = (plans.len(), texts().concat());
    let enclave = enclave(plans);
    let mut harmed = 0;
    for number in 0..count {
        let Some(answer) = asked(&enclave, true).await else {
            harmed += 1;
            continue;
        };
        if answer.status != 200 {
            assert!((500..600).contains(&answer.status), "{number}: {}", answer.text());
            harmed += 1;
            continue;
        }
        let heard = words(&answer);
        assert!(whole.starts_with(&heard), "{number}: {heard}");
        assert!(!answer.complete || heard == whole, "{number}: a part was taken for the whole: {heard}");
        harmed += usize::from(!answer.complete);
    }
    assert!(harmed > count / 2, "control: of {count} faults only {harmed} did harm");
    let honest = asked(&enclave, true).await.unwrap();
    assert!(honest.complete && words(&honest) == whole, "control: without a fault: {}", honest.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_no_tampering_on_the_providers_leg_delivers_a_wrong_word() {
    let plans = (0..120).map(|number: usize| {
        let at = number * 7919 % SPAN;
        let action = match number % 5 {
            0 => Action::Flip(1 << (number / 5 % 8)),
            1 => Action::Insert(vec![7; 1 + number % 3]),
            2 => Action::Drop(1 + number % 40),
            3 => Action::Duplicate(1 + number % 40),
            _ => Action::Reorder(1 + number % 40),
        };
        let fault = vec![Fault::at_byte(if number % 6 == 5 { at % 1500 } else { at }, action)];
        match number % 6 {
            5 => Plan { to_client: fault, ..Plan::default() },
            _ => Plan { to_enclave: fault, ..Plan::default() },
        }
    });
    holds_against(plans.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_an_answer_cut_on_the_providers_leg_never_ends_normally() {
    let cut = |number: usize| {
        let end = if number.is_multiple_of(2) { End::Fin } else { End::Reset };
        Plan { to_enclave: vec![Fault::at_record(number / 2, Action::Cut(end))], ..Plan::default() }
    };
    holds_against((0..50).map(cut).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_the_end_of_a_connection_is_the_providers_to_say() {
    // The body has no length: the provider ends it with its goodbye, the host with none.
    for at in [2000, 4000] {
        let cut = Plan { to_enclave: vec![Fault::at_byte(at, Action::Cut(End::Fin))], ..Plan::default() };
        let enclave = enclave(vec![cut]);
        let answer = asked(&enclave, false).await.unwrap();
        assert_eq!(answer.status, 502, "{at}: {}", answer.text());
        let honest = asked(&enclave, false).await.unwrap();
        assert!(honest.status == 200 && honest.complete, "control: {}", honest.text());
    }
}
