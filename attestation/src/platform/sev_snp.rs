//! AMD SEV-SNP: a signed report and its endorsement key's chain become claims; then part B's rows, one by one.
//! Everything compared here is covered by the report's signature or by a certificate's.

use crate::checklist::{Checklist, Step};
use crate::claims::snp::{CpuId, Product, SigningKey, SnpClaims, TcbVersion};
use crate::claims::{Anchor, Commitment, HardwareClaims, PlatformClaims};
use crate::digest::{HardwareId, ReportData, to_hex};
use crate::endorsements::Endorsements;
use crate::evidence::TeeType;
use crate::memory::Entry;
use crate::platform::{Input, Learnt, Platform};
use crate::policy::Policy;
use crate::reference_values::Voucher;
use crate::rejection::{Code, Rejection};
use crate::work_limit::WorkLimit;
use crate::x509::Window;
use extensions::Endorsed;
use report::Report;
use std::sync::Arc;

mod chain;
pub(crate) mod extensions;
mod judge;
pub(crate) mod report;
mod steps;
pub(crate) mod tcb;

/// The platform.
pub(crate) struct SevSnp;

impl Platform for SevSnp {
    fn tee(&self) -> TeeType {
        TeeType::Snp
    }

    fn steps(&self) -> Vec<Step> {
        steps::ALL.to_vec()
    }

    fn commitment(&self, evidence: &[u8]) -> Result<Commitment, Rejection> {
        Report::parse(evidence).map(|report| Commitment::ReportData(report.report_data))
    }

    fn authenticate(
        &self,
        input: &Input<'_>,
        limit: &mut WorkLimit,
        list: &mut Checklist,
    ) -> Result<HardwareClaims, Rejection> {
        let report = Report::parse(input.evidence);
        let report =
            list.yields(steps::REPORT, report, "a report", |report| format!("version {}", report.version))?;
        let encoding = format!("algorithm {}", report.signature_algorithm);
        list.holds(
            steps::ENCODING,
            report.signature_well_formed(),
            "ECDSA P-384 with SHA-384, zero-padded",
            encoding,
        )?;
        let known = input.memory.snp(&input.subject(&[]));
        let vouched = vouched(input, known.as_deref(), limit, list)?;
        let named = report.key_info;
        let masked = named.mask_chip_key() || named.signing_key() == KEY_NONE;
        let spelled = format!("mask_chip_key {} signing_key {}", named.mask_chip_key(), named.signing_key());
        list.holds(steps::MASKED, !masked, "a report signed with the chip's key", spelled)?;
        // the very bytes that this key was seen to have signed need not be verified again
        let same = known.is_some_and(|known| known.evidence == input.evidence);
        let signed = same || {
            limit.signature()?;
            report.signed_by(&vouched.key)
        };
        let verdict = if signed { "a signature by it" } else { "a signature that does not verify" };
        list.holds(steps::SIGNATURE, signed, "a signature by the endorsement key", verdict)?;
        let reserved = report.reserved();
        let found = reserved.clone().unwrap_or_else(|| "zero".to_owned());
        list.holds(steps::RESERVED, reserved.is_none(), "zero", found)?;
        let claims = matched(&report, &vouched, list)?;
        Ok(HardwareClaims {
            tee: TeeType::Snp,
            anchor: vouched.anchor,
            report_data: report.report_data,
            measurement: report.measurement,
            hardware_id: hardware_id(&claims),
            not_after: vouched.window.until,
            firmware: None,
            paravisor: None,
            platform: PlatformClaims::Snp(Box::new(claims)),
        })
    }

    fn judge(
        &self,
        claims: &HardwareClaims,
        input: &Input<'_>,
        list: &mut Checklist,
    ) -> Result<(), Rejection> {
        judge::platform(own(claims)?, &input.policy.snp, input.now, list)
    }

    fn release<'p>(
        &self,
        claims: &HardwareClaims,
        policy: &'p Policy,
        list: &mut Checklist,
    ) -> Result<&'p Voucher, Rejection> {
        judge::release(own(claims)?, &policy.references, list)
    }
}

/// The report data of a report, believing nothing.
pub(super) fn stated_report_data(report: &[u8]) -> Result<ReportData, Rejection> {
    Report::parse(report).map(|report| report.report_data)
}

/// The claims this file made.
fn own(claims: &HardwareClaims) -> Result<&SnpClaims, Rejection> {
    match &claims.platform {
        PlatformClaims::Snp(snp) => Ok(snp),
        PlatformClaims::Tdx(_) => Err(Rejection::new(Code::CheckSkipped, "cpu", "SNP claims", "others")),
    }
}

/// What a verified chain says about the key that signs reports.
pub(crate) struct Vouched {
    product: Product,
    anchor: Anchor,
    kind: SigningKey,
    /// An uncompressed P-384 point.
    key: Vec<u8>,
    endorsed: Result<Endorsed, Rejection>,
    /// When every certificate and revocation list is valid.
    window: Window,
}

/// The chain as `known` has it, or verified now.
fn vouched(
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
        (Arc::new(verified(input, limit, list)?), list.since(before))
    };
    let own = Arc::clone(&vouched);
    if known.is_none_or(|known| known.evidence != input.evidence) {
        input.memory.learn(|| Learnt::Snp(Entry::new(&input.subject(&[]), own.window, checks, own)));
    }
    Ok(vouched)
}

/// Certificates and revocation lists, every signature and date of them.
fn verified(input: &Input<'_>, limit: &mut WorkLimit, list: &mut Checklist) -> Result<Vouched, Rejection> {
    let endorsements = Endorsements::decode(input.endorsements);
    let endorsements = list.yields(steps::ENDORSEMENTS, endorsements, "certificates and lists", |read| {
        format!("{} certificates, {} lists", read.certificates.len(), read.crls.len())
    })?;
    let chain = chain::verify(&endorsements, &input.policy.trust_anchors, input.now, limit);
    let chain = list.yields(steps::CHAIN, chain, "a chain to a trusted root", |chain| {
        format!("{} to ARK-{} ({:?})", chain.kind, chain.product, chain.anchor)
    })?;
    let rule = &input.policy.snp.revocation;
    let lists = chain::revocation(&chain, &endorsements, rule, input.now, limit);
    let spell = |_: &Window| "not revoked".to_owned();
    let never = Window { from: input.now, until: input.now };
    let lists = list.yields_or(steps::REVOCATION, lists, "not revoked", spell, never)?;
    Ok(Vouched {
        product: chain.product,
        anchor: chain.anchor,
        kind: chain.kind,
        key: chain.key.to_vec(),
        endorsed: chain.endorsed(),
        window: chain.window.and(lists),
    })
}

/// `SIGNING_KEY` of an unsigned report.
const KEY_NONE: u32 = 7;

/// Compares the signed report with the certificate that vouches for its key.
fn matched(report: &Report<'_>, chain: &Vouched, list: &mut Checklist) -> Result<SnpClaims, Rejection> {
    let endorsed = chain.endorsed.clone();
    let endorsed =
        list.yields(steps::CERTIFICATE, endorsed, "AMD's extensions", |read| read.product_name.clone())?;
    let product = product(report, chain, &endorsed, list)?;
    chip_id(report, chain, &endorsed, list)?;
    let claims = decoded(report, product, &endorsed);
    let claims =
        list.yields(steps::LAYOUT, claims, "TCB versions of this product", |_| product.to_string())?;
    let vouched = format!("{} as certified", endorsed.tcb);
    let reported = claims.reported_tcb.to_string();
    list.holds(steps::VEK_TCB, claims.reported_tcb == endorsed.tcb, vouched, reported)?;
    // from here on only the policy can object
    list.mark_authentic();
    let named = match report.key_info.signing_key() {
        0 => "VCEK".to_owned(),
        1 => "VLEK".to_owned(),
        other => format!("key {other}"),
    };
    list.holds(
        steps::KEY_KIND,
        named == chain.kind.to_string(),
        format!("{} as certified", chain.kind),
        named,
    )?;
    Ok(claims)
}

/// The product: signed CPUID, chain and certificate must agree; version 2 has only the latter two.
fn product(
    report: &Report<'_>,
    chain: &Vouched,
    endorsed: &Endorsed,
    list: &mut Checklist,
) -> Result<Product, Rejection> {
    let silicon = report.cpuid.map_or(Some(chain.product), CpuId::product);
    let line = endorsed.product_name.split('-').next().unwrap_or_default();
    let agree = silicon == Some(chain.product) && line == chain.product.as_str();
    let cpuid = report.cpuid.map_or_else(|| "no CPUID".to_owned(), |cpuid| format!("CPUID {cpuid}"));
    let expected = format!("ARK-{} throughout", chain.product);
    list.holds(steps::MATCH, agree, expected, format!("{cpuid}, certificate for {line}"))?;
    Ok(chain.product)
}

fn chip_id(
    report: &Report<'_>,
    chain: &Vouched,
    endorsed: &Endorsed,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let zero = report.chip_id.iter().all(|byte| *byte == 0);
    let found = to_hex(&report.chip_id);
    match (&endorsed.hardware_id, chain.kind) {
        (Some(id), SigningKey::Vcek) => {
            let (own, rest) = report.chip_id.split_at_checked(id.len()).unwrap_or((&[], &[1]));
            let equal = own == id.as_slice() && rest.iter().all(|byte| *byte == 0);
            list.holds(steps::CHIP_ID, equal && !zero, format!("{} as certified", to_hex(id)), found)
        }
        _ => list.holds(steps::CHIP_ID, zero, "zero: a VLEK names no chip", found),
    }
}

fn decoded(report: &Report<'_>, product: Product, endorsed: &Endorsed) -> Result<SnpClaims, Rejection> {
    let level = |raw: [u8; 8]| -> Result<TcbVersion, Rejection> {
        tcb::decode(product, raw).ok_or_else(|| {
            let layout = format!("a TCB version in {product}'s layout");
            Rejection::new(Code::SnpReserved, "cpu.report.tcb", layout, to_hex(&raw))
        })
    };
    Ok(SnpClaims {
        version: report.version,
        guest_svn: report.guest_svn,
        policy: report.policy,
        family_id: report.family_id,
        image_id: report.image_id,
        vmpl: report.vmpl,
        current_tcb: level(report.current_tcb)?,
        platform_info: report.platform_info,
        signing_key: if report.key_info.signing_key() == 1 { SigningKey::Vlek } else { SigningKey::Vcek },
        author_key_en: report.key_info.author_key_en(),
        report_data: report.report_data,
        measurement: report.measurement,
        host_data: report.host_data,
        id_key_digest: report.id_key_digest,
        author_key_digest: report.author_key_digest,
        report_id: report.report_id,
        report_id_ma: report.report_id_ma,
        reported_tcb: level(report.reported_tcb)?,
        cpuid: report.cpuid,
        product,
        chip_id: report.chip_id,
        committed_tcb: level(report.committed_tcb)?,
        current_firmware: report.current_firmware,
        committed_firmware: report.committed_firmware,
        launch_tcb: level(report.launch_tcb)?,
        launch_mitigations: report.launch_mitigations,
        current_mitigations: report.current_mitigations,
        csp_id: endorsed.csp_id.clone(),
    })
}

/// The chip's identity: all 64 bytes, on Turin the 8 that are used. A VLEK has none.
fn hardware_id(claims: &SnpClaims) -> Option<HardwareId> {
    let used = match claims.product {
        Product::Genoa | Product::Milan => 64,
        Product::Turin => 8,
    };
    let id = claims.chip_id.get(..used)?;
    match claims.signing_key {
        SigningKey::Vcek => HardwareId::try_from(id).ok(),
        SigningKey::Vlek => None,
    }
}
