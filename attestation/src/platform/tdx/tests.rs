use super::*;
use crate::claims::Anchor;
use crate::claims::tdx::{Fmspc, Padding, TcbStatus, TdAttributes, Xfam};
use crate::policy::TrustAnchors;
use proptest::prelude::*;

/// A version 4 quote with empty contents: lengths and constants are right, nothing is signed.
fn skeleton(version: u16, body: usize, chain: &[u8]) -> Vec<u8> {
    let mut quote = version.to_le_bytes().to_vec();
    quote.extend_from_slice(&[2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
    quote.extend_from_slice(&0x939a_7233_f79c_4ca9_940a_0db3_957f_0607_u128.to_be_bytes());
    quote.extend_from_slice(&[0; 20]);
    if version == 5 {
        let kind: u16 = if body == 648 { 3 } else { 2 };
        quote.extend_from_slice(&kind.to_le_bytes());
        quote.extend_from_slice(&u32::try_from(body).expect("small").to_le_bytes());
    }
    quote.extend_from_slice(&vec![7; body]);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small").to_le_bytes();
    let certified = [&[0; 384 + 64][..], &[32, 0], &[0; 32], &[5, 0], &length(chain), chain].concat();
    let data = [&[0; 128][..], &[6, 0], &length(&certified), &certified].concat();
    [quote, length(&data).to_vec(), data].concat()
}

#[test]
fn both_versions_and_bodies_are_read() {
    for (version, body, extended) in [(4, 584, false), (5, 584, false), (5, 648, true)] {
        let bytes = skeleton(version, body, b"chain");
        let quote = Quote::parse(&bytes).expect("a quote");
        assert_eq!((quote.version, quote.chain, quote.padding), (version, &b"chain"[..], Padding::Zeros(0)));
        assert_eq!(quote.report.mr_service_td.is_some(), extended);
        assert_eq!(quote.signed.len(), 48 + body + if version == 5 { 6 } else { 0 });
        assert_eq!(quote.unpadded, bytes);
        for cut in 0..bytes.len() {
            assert!(Quote::parse(&bytes[..cut]).is_err(), "{cut} bytes");
        }
    }
    // a body type that is not its size, an unknown body, the wrong certification data
    for (at, value) in [(48, 2_u8), (48, 4), (50, 0x48), (702 + 4 + 128, 5)] {
        let mut bytes = skeleton(5, 648, b"chain");
        bytes[at] = value;
        assert!(Quote::parse(&bytes).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn the_compiled_in_root_is_intels_and_verifies_itself() {
    let mut limit = WorkLimit::new();
    let root = Certificate::parse(chain::INTEL_ROOT).expect("a certificate");
    assert!(root.authority && root.self_issued());
    assert_eq!(root.signed_by(&root.key, &mut limit), Ok(true));
    assert_eq!(
        crate::digest::Sha256::of(chain::INTEL_ROOT).to_hex(),
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    );
    let anchors = TrustAnchors { vendor: true, simulated_roots: Vec::new() };
    assert!(matches!(chain::root(chain::INTEL_ROOT, &anchors).map(|root| root.anchor), Ok(Anchor::Vendor)));
    let none = TrustAnchors { vendor: false, simulated_roots: Vec::new() };
    assert!(chain::root(chain::INTEL_ROOT, &none).is_err());
}

fn claims_of(quote: &Quote<'_>) -> TdxClaims {
    TdxClaims {
        quote_version: quote.version,
        qe_isv_svn: 0,
        user_data: quote.user_data,
        report: quote.report.clone(),
        pck: PckIdentity {
            ppid: [1; 16],
            cpu_svn: [0; 16],
            pce_svn: 0,
            pce_id: [0; 2],
            fmspc: Fmspc([0; 6]),
            platform_instance_id: None,
            smt_enabled: None,
        },
        tcb_status: TcbStatus::UpToDate,
        advisories: Vec::new(),
        module: Ok(()),
        evaluation_number: 20,
        collateral_issued: UnixTime::from_seconds(0),
        padding: quote.padding,
        events: Vec::new(),
    }
}

#[test]
fn what_the_second_verifier_does_not_confirm_is_refused() {
    let bytes = skeleton(4, 584, b"chain");
    let ours = claims_of(&Quote::parse(&bytes).expect("a quote"));
    let now = UnixTime::from_seconds(1_800_000_000);
    let said = library::confirms(&bytes, TdxCollateral::default(), chain::INTEL_ROOT, now, &ours);
    assert_eq!(said, Err("a refusal"));
}

/// What must be noticed, and a change.
type Change = (&'static str, fn(&mut TdxClaims));

#[test]
fn the_second_verifier_must_find_the_same() {
    let bytes = skeleton(4, 584, b"chain");
    let ours = claims_of(&Quote::parse(&bytes).expect("a quote"));
    let theirs = dcap_qvl::verify::VerifiedReport {
        status: "UpToDate".to_owned(),
        advisory_ids: Vec::new(),
        report: dcap_qvl::quote::Quote::parse(&bytes).expect("the same quote").report,
        ppid: vec![1; 16],
        qe_status: dcap_qvl::TcbStatusWithAdvisory::new(dcap_qvl::TcbStatus::UpToDate, Vec::new()),
        platform_status: dcap_qvl::TcbStatusWithAdvisory::new(dcap_qvl::TcbStatus::UpToDate, Vec::new()),
    };
    assert_eq!(library::agrees(&theirs, &ours), Ok(()));
    let mut stricter = ours.clone();
    stricter.tcb_status = TcbStatus::OutOfDate;
    assert_eq!(library::agrees(&theirs, &stricter), Ok(()));
    let changes: [Change; 7] = [
        ("another PPID", |claims| claims.pck.ppid[0] = 2),
        ("another body", |claims| claims.report.mr_td = Measurement::new([8; 48])),
        ("another body", |claims| claims.report.rtmr[3] = Measurement::new([8; 48])),
        ("another body", |claims| claims.report.attributes = TdAttributes(0)),
        ("another body", |claims| claims.report.xfam = Xfam(0)),
        ("another body", |claims| claims.report.report_data = crate::ReportData::new([8; 64])),
        ("another body", |claims| claims.report.mr_service_td = Some(Measurement::new([0; 48]))),
    ];
    for (what, change) in changes {
        let mut other = ours.clone();
        change(&mut other);
        assert_eq!(library::agrees(&theirs, &other), Err(what));
    }
    let worse = dcap_qvl::verify::VerifiedReport { status: "OutOfDate".to_owned(), ..theirs.clone() };
    assert_eq!(library::agrees(&worse, &ours), Err("another TCB status"));
    let unknown = dcap_qvl::verify::VerifiedReport { status: "Fine".to_owned(), ..theirs.clone() };
    assert_eq!(library::agrees(&unknown, &ours), Err("another TCB status"));
    let advised = dcap_qvl::verify::VerifiedReport { advisory_ids: vec!["INTEL-SA-1".to_owned()], ..theirs };
    assert_eq!(library::agrees(&advised, &ours), Err("other advisories"));
}

/// A firmware log of these register indices and payloads.
fn firmware_log(events: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let first = b"Spec ID Event03\0rest";
    let mut log = [[0, 0, 0, 0, 3, 0, 0, 0], [0; 8]].concat();
    log.extend_from_slice(&[0; 12]);
    log.extend_from_slice(&20_u32.to_le_bytes());
    log.extend_from_slice(first);
    for (index, kind, payload) in events {
        log.extend_from_slice(&index.to_le_bytes());
        log.extend_from_slice(&kind.to_le_bytes());
        log.extend_from_slice(&[1, 0, 0, 0, 0x0c, 0]);
        log.extend_from_slice(crate::digest::Sha384::of(payload).as_bytes());
        log.extend_from_slice(&u32::try_from(payload.len()).expect("small").to_le_bytes());
        log.extend_from_slice(payload);
    }
    log
}

#[test]
fn firmware_logs_count_registers_from_one() {
    let log = firmware_log(&[(1, 8, b"a"), (0, 3, b"not extended"), (4, 8, b"b")]);
    for padding in [&[][..], &[0xff; 9], &[0; 9]] {
        let events = event_log::parse(&[&log, padding].concat()).expect("a log");
        let registers: Vec<u8> = events.iter().map(|event| event.register).collect();
        assert_eq!(registers, [0, 3]);
        assert!(events.iter().all(|event| event.recomputed));
        let replayed = event_log::replay(&events);
        assert!(
            replayed[0].is_some() && replayed[1].is_none() && replayed[2].is_none() && replayed[3].is_some()
        );
    }
    for wrong in [firmware_log(&[(0, 8, b"a")]), firmware_log(&[(5, 8, b"a")])] {
        assert!(event_log::parse(&wrong).is_err());
    }
    for cut in 1..log.len() {
        let whole = event_log::parse(&log[..cut]).map_or(0, |events| events.len());
        assert!(whole < 2, "{cut} bytes");
    }
}

proptest! {
    #[test]
    fn hostile_quotes_never_panic_and_stay_inside(
        version in prop_oneof![Just(4_u16), Just(5)],
        changes in proptest::collection::vec((0_usize..1200, any::<u8>()), 0..12),
        tail in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = skeleton(version, 584, b"-----BEGIN CERTIFICATE-----\n");
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.extend_from_slice(&tail);
        if let Ok(quote) = Quote::parse(&bytes) {
            prop_assert!(quote.unpadded.len() <= bytes.len());
            prop_assert!(quote.signed.len() < quote.unpadded.len());
            let rest = &bytes[quote.unpadded.len()..];
            let zeros = rest.iter().all(|byte| *byte == 0);
            prop_assert_eq!(quote.padding, if zeros { Padding::Zeros(rest.len()) } else { Padding::Garbage });
            prop_assert!(certificates(&quote).map_or(0, |chain| chain.len()) <= MAX_CHAIN);
        }
    }

    #[test]
    fn hostile_logs_and_texts_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(events) = event_log::parse(&bytes) {
            prop_assert!(events.iter().all(|event| event.register < 4));
        }
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(TcbInfo::parse(&text).is_err() && QeIdentity::parse(&text).is_err());
        prop_assert!(TdxCollateral::from_json(&bytes).is_err() || bytes.contains(&0x7b));
    }
}
