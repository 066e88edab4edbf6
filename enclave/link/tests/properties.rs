//! Every message survives encoding, at every cut; nothing else is accepted.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::unwrap_used,
    reason = "strategies and helpers count, convert and unwrap freely"
)]

use link::{
    AmdProduct, ChipId, EndorsementDocument, EndorsementQuery, HostName, IntelCa, LinkError, Refusal, Reply,
    Request, Unavailability,
};
use proptest::{array::uniform, prelude::*};

fn product() -> impl Strategy<Value = AmdProduct> {
    proptest::sample::select(&AmdProduct::ALL[..])
}

fn chip_id() -> impl Strategy<Value = ChipId> {
    let half = (any::<[u8; 32]>(), any::<[u8; 32]>());
    prop_oneof![
        half.prop_map(|(a, b)| {
            let mut id = [0; 64];
            id[..32].copy_from_slice(&a);
            id[32..].copy_from_slice(&b);
            ChipId::Long(id)
        }),
        uniform::<_, 8>(any::<u8>()).prop_map(ChipId::Short),
    ]
}

fn query() -> impl Strategy<Value = EndorsementQuery> {
    prop_oneof![
        (product(), chip_id(), any::<[u8; 8]>())
            .prop_map(|(product, chip_id, tcb)| EndorsementQuery::AmdVcek { product, chip_id, tcb }),
        product().prop_map(|product| EndorsementQuery::AmdChain { product }),
        product().prop_map(|product| EndorsementQuery::AmdCrl { product }),
        any::<[u8; 6]>().prop_map(|fmspc| EndorsementQuery::IntelTcbInfo { fmspc }),
        Just(EndorsementQuery::IntelQeIdentity),
        Just(EndorsementQuery::IntelPckCrl { ca: IntelCa::Platform }),
        Just(EndorsementQuery::IntelPckCrl { ca: IntelCa::Processor }),
        Just(EndorsementQuery::IntelRootCrl),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let host = proptest::collection::vec(
        proptest::sample::select(b"abcxyz019-._:".to_vec()),
        1..=HostName::MAX_BYTES,
    )
    .prop_map(|bytes| HostName::new(std::str::from_utf8(&bytes).unwrap()).unwrap());
    prop_oneof![
        (host, 1..=u16::MAX).prop_map(|(host, port)| Request::Connect { host, port }),
        query().prop_map(Request::Endorsements),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Connected),
        proptest::sample::select(&Refusal::ALL[..]).prop_map(|reason| Reply::Refused { reason }),
        (0..=EndorsementDocument::MAX_BYTES).prop_map(|length| Reply::Endorsements { length }),
        proptest::sample::select(&Unavailability::ALL[..]).prop_map(|reason| Reply::Unavailable { reason }),
    ]
}

proptest! {
    #[test]
    fn a_request_is_itself_at_every_cut(request in request(), tail in any::<[u8; 3]>()) {
        let bytes = request.encode();
        prop_assert!(bytes.len() <= Request::MAX_BYTES);
        for cut in 0..bytes.len() {
            prop_assert_eq!(Request::decode(&bytes[..cut]), Ok(None));
        }
        prop_assert_eq!(Request::decode(&bytes), Ok(Some((request.clone(), bytes.len()))));
        let with_tail = [&bytes[..], &tail].concat();
        prop_assert_eq!(Request::decode(&with_tail), Ok(Some((request, bytes.len()))));
    }

    #[test]
    fn a_reply_is_itself_at_every_cut(reply in reply(), tail in any::<[u8; 3]>()) {
        let bytes = reply.encode();
        prop_assert!(bytes.len() <= Reply::MAX_BYTES);
        for cut in 0..bytes.len() {
            prop_assert_eq!(Reply::decode(&bytes[..cut]), Ok(None));
        }
        let with_tail = [&bytes[..], &tail].concat();
        prop_assert_eq!(Reply::decode(&with_tail), Ok(Some((reply, bytes.len()))));
    }

    /// One encoding per message: whatever decodes encodes to the same bytes. Also: no panic, no starving.
    #[test]
    fn hostile_bytes_decode_canonically(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_u8..8) {
        let shaped = [&[1, kind & 3 | if kind > 3 { 0x80 } else { 0 }, 0][..], &bytes].concat();
        for input in [&bytes, &shaped] {
            match Request::decode(input) {
                Ok(Some((request, used))) => prop_assert_eq!(&request.encode()[..], &input[..used]),
                Ok(None) => prop_assert!(input.len() < Request::MAX_BYTES),
                Err(error) => prop_assert!(error.to_string().starts_with(error.code())),
            }
            match Reply::decode(input) {
                Ok(Some((reply, used))) => prop_assert_eq!(&reply.encode()[..], &input[..used]),
                Ok(None) => prop_assert!(input.len() < Reply::MAX_BYTES),
                Err(error) => prop_assert!(error.to_string().starts_with(error.code())),
            }
            if let Ok(document) = EndorsementDocument::decode(input) {
                prop_assert_eq!(&document.encode().unwrap(), input);
            }
        }
    }

    #[test]
    fn a_document_is_itself_and_exact(chain in proptest::collection::vec(any::<u8>(), 0..50),
                                      body in proptest::collection::vec(any::<u8>(), 0..50)) {
        let document = EndorsementDocument { issuer_chain: &chain, body: &body };
        let bytes = document.encode().unwrap();
        prop_assert_eq!(EndorsementDocument::decode(&bytes), Ok(document));
        for cut in 0..chain.len() + 4 {
            prop_assert_eq!(EndorsementDocument::decode(&bytes[..cut]), Err(LinkError::Document));
        }
    }

    /// An error, once reached, stays whatever follows; and before it only "read more" was said.
    #[test]
    fn errors_are_final(bytes in proptest::collection::vec(any::<u8>(), 1..20)) {
        let mut failed = None;
        for cut in 0..=bytes.len() {
            let now = Request::decode(&bytes[..cut]).err();
            if failed.is_some() {
                prop_assert_eq!(now, failed);
            }
            failed = now;
        }
    }
}

fn refused(bytes: &[u8]) -> LinkError {
    Request::decode(bytes).unwrap_err()
}

#[test]
fn each_request_error_is_produced() {
    assert_eq!(refused(&[2]), LinkError::Version { found: 2 });
    assert_eq!(refused(&[1, 3]), LinkError::Kind { found: 3 });
    assert_eq!(refused(&[1, 0x81]), LinkError::Kind { found: 0x81 }, "a reply is no request");
    assert_eq!(refused(&[1, 1, 1, 0]), LinkError::Length { found: 256 });
    assert_eq!(refused(&[1, 1, 0, 2]), LinkError::Length { found: 2 });
    assert_eq!(refused(&[1, 1, 0, 3, 0, 0, b'a']), LinkError::Port);
    assert_eq!(refused(&[1, 1, 0, 3, 0, 1, b'A']), LinkError::HostName, "upper case on the wire");
    assert_eq!(refused(&[1, 1, 0, 3, 0, 1, b'\n']), LinkError::HostName);
    assert_eq!(refused(&[1, 2, 0, 1, 9]), LinkError::Field { field: "endorsement" });
    assert_eq!(refused(&[1, 2, 0, 2, 5, 0]), LinkError::Field { field: "trailing bytes" });
    assert_eq!(refused(&[1, 2, 0, 2, 2, 9]), LinkError::Field { field: "product" });
    assert_eq!(refused(&[1, 2, 0, 2, 6, 0]), LinkError::Field { field: "ca" });
    assert_eq!(refused(&[1, 2, 0, 3, 1, 1, 7]), LinkError::Field { field: "chip id length" });
}

#[test]
fn each_reply_error_is_produced() {
    let refused = |bytes: &[u8]| Reply::decode(bytes).unwrap_err();
    assert_eq!(refused(&[1, 1]), LinkError::Kind { found: 1 }, "a request is no reply");
    assert_eq!(refused(&[1, 0x81, 0, 1]), LinkError::Length { found: 1 });
    assert_eq!(refused(&[1, 0x82, 0, 1, 0]), LinkError::Field { field: "refusal" });
    assert_eq!(refused(&[1, 0x84, 0, 1, 7]), LinkError::Field { field: "unavailability" });
    assert_eq!(refused(&[1, 0x83, 0, 4, 0, 4, 0, 1]), LinkError::Field { field: "length" });
}

#[test]
fn host_names_are_bounded_and_folded() {
    assert_eq!(HostName::new("API.Example.com").unwrap().as_str(), "api.example.com");
    assert_eq!(HostName::new("::1").unwrap().to_string(), "::1");
    assert!(HostName::new(&"a".repeat(253)).is_ok());
    for bad in ["", "a b", "a/b", "a@b", "ä", "a\0", "[::1]", &"a".repeat(254)] {
        assert_eq!(HostName::new(bad), Err(LinkError::HostName), "{bad:?}");
    }
}

#[test]
fn a_document_is_bounded() {
    let most = EndorsementDocument::MAX_BYTES as usize - 4;
    let body = vec![0; most + 1];
    let fits = EndorsementDocument { issuer_chain: &[], body: &body[..most] };
    assert_eq!(fits.encode().unwrap().len(), EndorsementDocument::MAX_BYTES as usize);
    let too_large = EndorsementDocument { issuer_chain: &[], body: &body };
    assert_eq!(too_large.encode(), Err(LinkError::Document));
}
