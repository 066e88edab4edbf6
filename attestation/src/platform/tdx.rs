//! Intel TDX: a signed quote, Intel's chains and collateral become claims; then part B's rows, one by one.
//! Every signature is verified here, step by step; what would be accepted is verified again by dcap-qvl.

use crate::checklist::{Checklist, Step};
use crate::claims::tdx::{LogEvent, PckIdentity, TdReport, TdxClaims};
use crate::claims::{Anchor, Commitment, HardwareClaims, PlatformClaims};
use crate::digest::{HardwareId, Measurement, UnixTime, to_hex};
use crate::endorsements::{Endorsements, TdxCollateral};
use crate::evidence::TeeType;
use crate::memory::Entry;
use crate::platform::{Input, Learnt, Platform};
use crate::policy::Policy;
use crate::reference_values::Voucher;
use crate::rejection::{Code, Rejection};
use crate::signature::Algorithm;
use crate::work_limit::WorkLimit;
use crate::x509::{Certificate, PublicKey, Window};
use chain::{Path, Root};
use enclave::EnclaveReport;
use quote::Quote;
use std::sync::Arc;
use tcb_info::{QeIdentity, TcbInfo};

pub(crate) mod pem;
pub(crate) mod quote;
mod steps;
mod chain;
pub(crate) mod pck;
mod tcb_info;
mod tcb;
pub(crate) mod enclave;
pub(crate) mod event_log;
mod library;
mod judge;

/// Certificates read from a quote. Three are right; one more, and the answer can say whose chain it was.
const MAX_CHAIN: usize = 4;

/// The platform.
pub(crate) struct Tdx;

impl Platform for Tdx {
    fn tee(&self) -> TeeType {
        TeeType::Tdx
    }

    fn steps(&self) -> Vec<Step> {
        steps::ALL.to_vec()
    }

    fn commitment(&self, evidence: &[u8]) -> Result<Commitment, Rejection> {
        Quote::parse(evidence).map(|quote| Commitment::ReportData(quote.report.report_data))
    }

    fn authenticate(
        &self,
        input: &Input<'_>,
        limit: &mut WorkLimit,
        list: &mut Checklist,
    ) -> Result<HardwareClaims, Rejection> {
        let quote = Quote::parse(input.evidence);
        let quote =
            list.yields(steps::HEADER, quote, "a quote", |quote| format!("version {}", quote.version))?;
        let known = input.memory.tdx(&input.subject(quote.certification));
        let vouched = vouched(&quote, input, known.as_deref(), limit, list)?;
        // the very bytes that this key was seen to have signed need not be verified again
        let same = known.is_some_and(|known| known.evidence == input.evidence);
        signature(&quote, same, limit, list)?;
        let pck = covered(vouched.pck.clone(), &vouched.tcb_info, list)?;
        // from here on only the policy can object
        list.mark_authentic();
        let events = replayed(&vouched.log, &quote.report);
        let replays = |events: &Vec<LogEvent>| format!("{} events", events.len());
        let events =
            list.yields_or(steps::EVENT_LOG, events, "none, or one that replays", replays, Vec::new())?;
        let claims = claims(&quote, pck, &vouched, events);
        Ok(HardwareClaims {
            tee: TeeType::Tdx,
            anchor: vouched.anchor,
            report_data: quote.report.report_data,
            measurement: quote.report.mr_td,
            hardware_id: hardware_id(&claims.pck),
            not_after: vouched.window.until,
            firmware: None,
            paravisor: None,
            platform: PlatformClaims::Tdx(Box::new(claims)),
        })
    }

    fn judge(
        &self,
        claims: &HardwareClaims,
        input: &Input<'_>,
        list: &mut Checklist,
    ) -> Result<(), Rejection> {
        let tdx = own(claims)?;
        judge::platform(tdx, &input.policy.tdx, input.now, list)?;
        if !list.holds_so_far() {
            // the library would refuse for the same reason, and cannot say which
            return Ok(());
        }
        if input.memory.recalled() {
            // it was asked about this chain, this collateral and this attestation key; what is new is one signature
            return list.holds(steps::LIBRARY, true, "the second verifier to find the same", "asked before");
        }
        let confirmed = confirmed(tdx, input)?;
        let found = confirmed.err().unwrap_or("the same");
        list.holds(steps::LIBRARY, confirmed.is_ok(), "the second verifier to find the same", found)
    }

    fn release<'p>(
        &self,
        claims: &HardwareClaims,
        policy: &'p Policy,
        list: &mut Checklist,
    ) -> Result<&'p Voucher, Rejection> {
        judge::release(own(claims)?, &policy.tdx, list)
    }
}

/// The parts of a quote that a TD report has to agree with.
pub(super) struct TdQuote<'a> {
    /// The body.
    pub(super) report: &'a TdReport,
    /// Security version of the processor that the quoting enclave ran on.
    pub(super) cpu_svn: &'a [u8],
}

/// Reads `quote` for a comparison, believing nothing, and hands it to `compare`.
pub(super) fn with_quote<T>(
    quote: &[u8],
    compare: impl FnOnce(&TdQuote<'_>) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let quote = Quote::parse(quote)?;
    compare(&TdQuote { report: &quote.report, cpu_svn: quote.qe_report.get(..16).unwrap_or_default() })
}

/// The claims this file made.
fn own(claims: &HardwareClaims) -> Result<&TdxClaims, Rejection> {
    match &claims.platform {
        PlatformClaims::Tdx(tdx) => Ok(tdx),
        PlatformClaims::Snp(_) => Err(Rejection::new(Code::CheckSkipped, "cpu", "TDX claims", "others")),
    }
}

fn certificates(quote: &Quote<'_>) -> Result<Vec<Vec<u8>>, Rejection> {
    let step = steps::CERTIFICATES;
    pem::certificates(quote.chain, MAX_CHAIN, step.code, step.field)
}

/// Where the root stands: third, or last in a chain that is too short.
fn last(chain: &[Vec<u8>]) -> &[u8] {
    chain.get(2).or_else(|| chain.last()).map_or(&[], Vec::as_slice)
}

/// What a verified chain and collateral say about the platform and its attestation key.
pub(crate) struct Vouched {
    anchor: Anchor,
    pck: Result<PckIdentity, Rejection>,
    tcb_info: TcbInfo,
    qe_identity: QeIdentity,
    /// Security version of the quoting enclave that vouches for the attestation key.
    qe_isv_svn: u16,
    /// The event log that came along; judged against each quote.
    log: Vec<u8>,
    /// When every certificate, text and revocation list is valid.
    window: Window,
}

/// Chain and collateral as `known` has them, or verified now.
fn vouched(
    quote: &Quote<'_>,
    input: &Input<'_>,
    known: Option<&Entry<Vouched>>,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<Arc<Vouched>, Rejection> {
    let (vouched, checks) = if let Some(known) = known {
        list.recall(&known.checks);
        (Arc::clone(&known.vouched), known.checks.clone())
    } else {
        let before = list.count();
        (Arc::new(verified(quote, input, limit, list)?), list.since(before))
    };
    let own = Arc::clone(&vouched);
    if known.is_none_or(|known| known.evidence != input.evidence) {
        let subject = input.subject(quote.certification);
        input.memory.learn(|| Learnt::Tdx(Entry::new(&subject, own.window, checks, own)));
    }
    Ok(vouched)
}

/// The quote's chain, the collateral, and the quoting enclave's report: every signature and date of them.
fn verified(
    quote: &Quote<'_>,
    input: &Input<'_>,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<Vouched, Rejection> {
    let chain = certificates(quote);
    let chain =
        list.yields(steps::CERTIFICATES, chain, "PEM certificates", |chain| chain.len().to_string())?;
    let root = chain::root(last(&chain), &input.policy.trust_anchors);
    let root = list.yields(steps::ROOT, root, "a trusted root", |root| format!("{:?}", root.anchor))?;
    let path = Path::of_quote(&chain, &root, input.now, limit);
    let path = list.yields(steps::CHAIN, path, "PCK, PCK CA, root", |_| "a chain that holds".to_owned())?;
    let endorsements = Endorsements::decode(input.endorsements);
    let read =
        endorsements.and_then(|read| Ok((TdxCollateral::from_json(&read.collateral)?, read.event_log)));
    let (collateral, log) =
        list.yields(steps::COLLATERAL, read, "collateral", |_| "a collateral set".to_owned())?;
    let set = signed_collateral(&collateral, &root, &path, input.now, limit, list)?;
    let report = quoting_enclave(quote, &path.leaf, &set.qe_identity, limit, list)?;
    Ok(Vouched {
        anchor: root.anchor,
        pck: platform_identity(&path.leaf),
        tcb_info: set.tcb_info,
        qe_identity: set.qe_identity,
        qe_isv_svn: report.isv_svn,
        log,
        window: path.window().and(set.window),
    })
}

/// Collateral whose signatures hold.
struct Signed {
    tcb_info: TcbInfo,
    qe_identity: QeIdentity,
    window: Window,
}

/// Dates, signers, signatures and revocation lists of the collateral, and whether anything used is revoked.
fn signed_collateral(
    collateral: &TdxCollateral,
    root: &Root<'_>,
    path: &Path<'_>,
    now: UnixTime,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<Signed, Rejection> {
    let texts = texts(collateral);
    let (tcb_info, qe_identity) = match texts {
        Ok(texts) => texts,
        Err(error) => return Err(list.failed(steps::DATES, error)),
    };
    let windows = [
        Window { from: tcb_info.issued_at, until: tcb_info.next_update },
        Window { from: qe_identity.issued_at, until: qe_identity.next_update },
    ];
    let current = windows.iter().all(|window| window.contains(now));
    let found: Vec<String> =
        windows.iter().map(|window| format!("{} to {}", window.from, window.until)).collect();
    list.holds(steps::DATES, current, format!("texts valid at {now}"), found.join(", "))?;
    let signers = chain::signer_der(&collateral.tcb_info_issuer_chain, root)
        .and_then(|first| Ok([first, chain::signer_der(&collateral.qe_identity_issuer_chain, root)?]));
    let signers = signers.map_err(|error| list.failed(steps::SIGNERS, error))?;
    let [first, second] = &signers;
    let verified = chain::signer(first, &path.root, now, limit)
        .and_then(|first| Ok((first, chain::signer(second, &path.root, now, limit)?)));
    let (tcb_signer, qe_signer) =
        list.yields(steps::SIGNERS, verified, "TCB signers", |_| "issued by the root".to_owned())?;
    let signed =
        |text: &str, signature: &[u8], signer: &Certificate<'_>, limit: &mut WorkLimit| match signer.key {
            PublicKey::P256(key) => fixed(key, text.as_bytes(), signature, limit),
            PublicKey::P384(_) | PublicKey::Rsa(_) | PublicKey::Rsa2048(_) => Ok(false),
        };
    let (expected, found) = ("signed by its signer", "a signature that does not hold");
    let holds = signed(&collateral.tcb_info, &collateral.tcb_info_signature, &tcb_signer, limit)?;
    list.holds(steps::TCB_INFO, holds, expected, if holds { expected } else { found })?;
    let holds = signed(&collateral.qe_identity, &collateral.qe_identity_signature, &qe_signer, limit)?;
    list.holds(steps::QE_IDENTITY, holds, expected, if holds { expected } else { found })?;
    let lists = revocation(collateral, path, [&tcb_signer, &qe_signer], now, limit, list)?;
    let window =
        windows.into_iter().chain([tcb_signer.window(), qe_signer.window()]).fold(lists, Window::and);
    Ok(Signed { tcb_info, qe_identity, window })
}

fn texts(collateral: &TdxCollateral) -> Result<(TcbInfo, QeIdentity), Rejection> {
    let step = steps::COLLATERAL;
    for (text, name) in [(&collateral.tcb_info, "TCB info"), (&collateral.qe_identity, "a QE identity")] {
        if text.is_empty() {
            return Err(Rejection::new(step.code, step.field, name, "none"));
        }
    }
    Ok((TcbInfo::parse(&collateral.tcb_info)?, QeIdentity::parse(&collateral.qe_identity)?))
}

/// Both lists, and every certificate that was used against them. Says when both hold.
fn revocation(
    collateral: &TdxCollateral,
    path: &Path<'_>,
    signers: [&Certificate<'_>; 2],
    now: UnixTime,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<Window, Rejection> {
    let lists = chain::revocation_list(&collateral.root_ca_crl, &path.root, now, limit).and_then(|of_root| {
        Ok((of_root, chain::revocation_list(&collateral.pck_crl, &path.authority, now, limit)?))
    });
    let (of_root, of_authority) =
        list.yields(steps::CRLS, lists, "lists of root and PCK CA", |_| "both current".to_owned())?;
    let [tcb_signer, qe_signer] = signers;
    let below_root = [&path.root, &path.authority, tcb_signer, qe_signer];
    let revoked = below_root.iter().any(|certificate| of_root.lists(certificate.serial))
        || of_authority.lists(path.leaf.serial);
    let found = if revoked { "one that is" } else { "none" };
    list.holds(steps::REVOKED, !revoked, "no revoked certificate", found)?;
    Ok(of_root.window().and(of_authority.window()))
}

/// The quoting enclave's report, its binding of the attestation key, and whether the enclave is Intel's.
fn quoting_enclave(
    quote: &Quote<'_>,
    pck: &Certificate<'_>,
    identity: &QeIdentity,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<EnclaveReport, Rejection> {
    let report = EnclaveReport::read(quote.qe_report).map_err(|error| {
        Rejection::new(Code::AttMalformed, "cpu.quote.qe_report", "384 bytes", error.to_string())
    })?;
    let signed = match pck.key {
        PublicKey::P256(key) => fixed(key, quote.qe_report, &quote.qe_signature, limit)?,
        PublicKey::P384(_) | PublicKey::Rsa(_) | PublicKey::Rsa2048(_) => false,
    };
    let found = if signed { "signed by the PCK" } else { "a signature that does not hold" };
    list.holds(steps::QE_REPORT, signed, "signed by the PCK", found)?;
    let bound = report.binds(quote);
    let found = if bound { "its digest" } else { "other report data" };
    list.holds(steps::BINDING, bound, "the digest of the attestation key, and zeros", found)?;
    let kind = if identity.id == "TD_QE" && matches!(identity.version, 2 | 3) {
        report.differs(identity)
    } else {
        Some(("an identity of a TD_QE".to_owned(), "another identity".to_owned()))
    };
    let (expected, found) = kind.clone().unwrap_or_else(|| ("Intel's".to_owned(), "Intel's".to_owned()));
    list.holds(steps::ENCLAVE, kind.is_none(), expected, found)?;
    Ok(report)
}

fn signature(
    quote: &Quote<'_>,
    verified_before: bool,
    limit: &mut WorkLimit,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let point = [[0x04].as_slice(), &quote.attestation_key].concat();
    let signed = verified_before || fixed(&point, quote.signed, &quote.signature, limit)?;
    let found = if signed { "a signature by it" } else { "a signature that does not hold" };
    list.holds(steps::SIGNATURE, signed, "a signature by the attestation key", found)
}

/// Whether `key`, an uncompressed point on P-256, made this signature of two 32-byte numbers.
fn fixed(key: &[u8], message: &[u8], signature: &[u8], limit: &mut WorkLimit) -> Result<bool, Rejection> {
    limit.signature()?;
    Ok(Algorithm::P256Fixed.verifies(key, message, signature))
}

fn platform_identity(leaf: &Certificate<'_>) -> Result<PckIdentity, Rejection> {
    pck::identity(leaf).map_err(|error| {
        Rejection::new(Code::TdxChain, "cpu.quote.chain", "an Intel SGX extension", error.to_string())
    })
}

/// Whether the TCB info speaks of this platform.
fn covered(
    pck: Result<PckIdentity, Rejection>,
    tcb_info: &TcbInfo,
    list: &mut Checklist,
) -> Result<PckIdentity, Rejection> {
    let pck = pck.map_err(|error| list.failed(steps::FMSPC, error))?;
    list.holds(steps::FMSPC, pck.fmspc == tcb_info.fmspc, tcb_info.fmspc.to_string(), pck.fmspc.to_string())?;
    list.holds(steps::PCE_ID, pck.pce_id == tcb_info.pce_id, to_hex(&tcb_info.pce_id), to_hex(&pck.pce_id))?;
    let kind = tcb_info.id == "TDX" && tcb_info.version == 3 && tcb_info.tcb_type == 0;
    let is_tdx = if tcb_info.id == "TDX" { "TDX" } else { "another TEE" };
    let found = format!("{is_tdx}, version {}, type {}", tcb_info.version, tcb_info.tcb_type);
    list.holds(steps::KIND, kind, "TDX, version 3, type 0", found)?;
    Ok(pck)
}

/// The events of a log that leads to the registers of `report`. No log explains nothing and is no fault.
fn replayed(log: &[u8], report: &TdReport) -> Result<Vec<LogEvent>, Rejection> {
    if log.is_empty() {
        return Ok(Vec::new());
    }
    let step = steps::EVENT_LOG;
    let events = event_log::parse(log)
        .map_err(|expected| Rejection::new(step.code, step.field, expected, "something else"))?;
    let differs = |index: usize, replayed: &Option<Measurement>| {
        replayed.as_ref().is_some_and(|value| report.rtmr.get(index) != Some(value))
    };
    let registers = event_log::replay(&events);
    match registers.iter().enumerate().find(|(index, replayed)| differs(*index, replayed)) {
        None => Ok(events),
        Some((index, _)) => {
            let expected = format!("events that lead to the quote's RTMR{index}");
            Err(Rejection::new(step.code, step.field, expected, "others"))
        }
    }
}

fn claims(quote: &Quote<'_>, pck: PckIdentity, set: &Vouched, events: Vec<LogEvent>) -> TdxClaims {
    let qe_isv_svn = set.qe_isv_svn;
    let evaluation = tcb::evaluate(&quote.report, &pck, qe_isv_svn, &set.tcb_info, &set.qe_identity);
    TdxClaims {
        quote_version: quote.version,
        qe_isv_svn,
        user_data: quote.user_data,
        report: quote.report.clone(),
        pck,
        tcb_status: evaluation.status,
        advisories: evaluation.advisories,
        module: evaluation.module,
        evaluation_number: set.tcb_info.evaluation_number.min(set.qe_identity.evaluation_number),
        collateral_issued: set.tcb_info.issued_at.min(set.qe_identity.issued_at),
        padding: quote.padding,
        events,
    }
}

/// The platform's PPID; an all-zero one names no platform.
fn hardware_id(pck: &PckIdentity) -> Option<HardwareId> {
    let named = pck.ppid.iter().any(|byte| *byte != 0);
    named.then(|| HardwareId::try_from(pck.ppid.as_slice()).ok()).flatten()
}

/// What the second verifier says.
fn confirmed(claims: &TdxClaims, input: &Input<'_>) -> Result<Result<(), &'static str>, Rejection> {
    let quote = Quote::parse(input.evidence)?;
    let chain = certificates(&quote)?;
    let root = chain::root(last(&chain), &input.policy.trust_anchors)?;
    let collateral = TdxCollateral::from_json(&Endorsements::decode(input.endorsements)?.collateral)?;
    Ok(library::confirms(quote.unpadded, collateral, root.der, input.now, claims))
}

#[cfg(test)]
mod tests;
