//! Rows of `THREAT_MODEL.md`, each with its positive control: the same attack on a weaker counterpart, where it succeeds.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: stopping is the right answer to a surprise"
)]

mod threats {
    mod clock;
    mod crowd;
    mod evidence;
    mod exposure;
    mod freshness;
    mod governed;
    mod impostors;
    mod names;
    mod oracle;
    mod policy;
    mod providers_leg;
    mod provisioning;
    mod repeats;
    mod replays;
    mod reports;
    mod script;
    mod simulation;
    mod state;
    mod tampering;
    mod tenants;
    mod tls;
    mod truncation;

    use bytes::Bytes;
    use http_body_util::BodyExt;
    use postern_client::{ChannelBody, Error, VerifiedChannel, Verifier};
    use postern_tests::enclave::KEY;

    /// The code with which `verifier` refuses; a channel is a failure.
    async fn refusal(verifier: &Verifier) -> String {
        match verifier.connect().await {
            Ok(_) => panic!("a channel was opened"),
            Err(error) => error.code().to_owned(),
        }
    }

    /// A request with the good key. Unshaped, so that the same answer is the same bytes in the same records each time.
    fn request(path: &str, body: &serde_json::Value) -> http::Request<ChannelBody> {
        shaped("none", path, body)
    }

    /// A request with the good key for an answer in that shape.
    fn shaped(shape: &str, path: &str, body: &serde_json::Value) -> http::Request<ChannelBody> {
        http::Request::post(path)
            .header("authorization", format!("Bearer {KEY}"))
            .header("content-type", "application/json")
            .header("postern-stream-shape", shape)
            .body(postern_client::full_body(body.to_string()))
            .unwrap()
    }

    /// What an answer says, without the padding of its shape: comments between events, spaces after JSON. What is said by
    /// the beginning of an answer is the beginning of what is said by all of it.
    fn said(shape: &str, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body).into_owned();
        if shape == "none" {
            return text;
        }
        if !text.trim_start_matches('\n').starts_with([':', 'd']) {
            return text.trim_end_matches(' ').to_owned();
        }
        let events = text.split("\n\n").map(|event| event.trim_start_matches('\n'));
        events.filter(|event| !event.starts_with(':')).collect()
    }

    /// What a caller got over a verified channel.
    #[derive(Debug)]
    struct Got {
        /// Status and body so far; nothing if no head came.
        answer: Option<(u16, Vec<u8>)>,
        /// Why it was not whole, if it was not.
        error: Option<Error>,
    }

    impl Got {
        fn body(&self) -> &[u8] {
            self.answer.as_ref().map(|(_, body)| body.as_slice()).unwrap_or_default()
        }

        fn is_complete(&self) -> bool {
            self.answer.is_some() && self.error.is_none()
        }
    }

    /// Sends `request` and reads the answer as far as it comes.
    async fn ask(channel: &mut VerifiedChannel, request: http::Request<ChannelBody>) -> Got {
        if let Err(error) = channel.ready().await {
            return Got { answer: None, error: Some(error) };
        }
        let response = match channel.send(request).await {
            Ok(response) => response,
            Err(failure) => return Got { answer: None, error: Some(failure.error) },
        };
        let (status, mut body) = (response.status().as_u16(), response.into_body());
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => received.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new())),
                Err(error) => return Got { answer: Some((status, received)), error: Some(error) },
            }
        }
        assert!(body.is_complete(), "the end of a body that is not complete");
        Got { answer: Some((status, received)), error: None }
    }
}
