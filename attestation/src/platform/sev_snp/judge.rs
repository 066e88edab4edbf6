//! Part B's SEV-SNP rows over authenticated claims. Each row is one check with what was expected and found.

use crate::checklist::{Checklist, Step};
use crate::claims::snp::{FirmwareVersion, Product, SigningKey, SnpClaims};
use crate::digest::{Measurement, UnixTime, to_hex};
use crate::floors::{FloorLine, TcbFloors};
use crate::platform::sev_snp::steps;
use crate::policy::snp::{Bit, FloorRule, ProvisionalRule, SigningKeyRule, SnpPolicy};
use crate::reference_values::{IdBlock, ReferenceValues, Release, Requirement, Voucher};
use crate::rejection::Rejection;

/// Highest privilege level a guest can have; the host's own requests carry 0xffffffff.
const MAX_VMPL: u32 = 3;

/// Every row that does not depend on the release.
pub(super) fn platform(
    claims: &SnpClaims,
    policy: &SnpPolicy,
    now: UnixTime,
    list: &mut Checklist,
) -> Result<(), Rejection> {
    floors_date(policy, now, list)?;
    identity(claims, policy, list)?;
    guest(claims, policy, list)?;
    guest_bits(claims, policy, list)?;
    platform_bits(claims, policy, list)?;
    tcb_order(claims, policy, list)?;
    floors(claims, policy, list)
}

fn floors_date(policy: &SnpPolicy, now: UnixTime, list: &mut Checklist) -> Result<(), Rejection> {
    match &policy.floors {
        FloorRule::File { floors, grace } => {
            let end = floors.valid_until.plus(*grace);
            list.holds(
                steps::FLOORS_DATE,
                now <= end,
                format!("floors valid at {now}"),
                format!("until {end}"),
            )
        }
        FloorRule::Unchecked { .. } => list.holds(steps::FLOORS_DATE, true, "any (waived)", "no floors"),
    }
}

/// Report version, signing key, provider and product.
fn identity(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let versions: Vec<String> = policy.versions.iter().map(u32::to_string).collect();
    let known = policy.versions.contains(&claims.version);
    list.holds(
        steps::VERSION,
        known,
        format!("one of [{}]", versions.join(", ")),
        claims.version.to_string(),
    )?;
    let (wanted, holds) = match &policy.signing_key {
        SigningKeyRule::Either { .. } => ("either (waived)", true),
        SigningKeyRule::Vcek => ("VCEK", claims.signing_key == SigningKey::Vcek),
        SigningKeyRule::Vlek { .. } => ("VLEK", claims.signing_key == SigningKey::Vlek),
    };
    list.holds(steps::SIGNING_KEY, holds, wanted, claims.signing_key.to_string())?;
    let found = claims.csp_id.clone().unwrap_or_else(|| "none".to_owned());
    match &policy.signing_key {
        SigningKeyRule::Vlek { csp_id } => {
            list.holds(steps::CSP_ID, claims.csp_id.as_ref() == Some(csp_id), csp_id, found)?;
        }
        SigningKeyRule::Vcek => list.holds(steps::CSP_ID, claims.csp_id.is_none(), "none", found)?,
        SigningKeyRule::Either { .. } => list.holds(steps::CSP_ID, true, "any (waived)", found)?,
    }
    let products: Vec<&str> = policy.products.iter().map(|product| product.as_str()).collect();
    let allowed = policy.products.contains(&claims.product);
    list.holds(steps::PRODUCT, allowed, format!("one of [{}]", products.join(", ")), claims.product.as_str())
}

fn guest(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let level = policy.vmpl.accepts(&claims.vmpl) && claims.vmpl <= MAX_VMPL;
    list.holds(steps::VMPL, level, policy.vmpl.describe(u32::to_string), claims.vmpl.to_string())?;
    bit(steps::DEBUG, Bit::Forbidden, claims.policy.debug(), list)?;
    bit(steps::MIGRATE, Bit::Forbidden, claims.policy.migrate_ma(), list)?;
    let agent = claims.report_id_ma;
    list.holds(steps::AGENT, agent == [0xff; 32], "no migration agent", to_hex(&agent))?;
    bit(steps::CXL, Bit::Forbidden, claims.policy.cxl_allow(), list)?;
    let reserved = claims.policy.reserved() == 0 && claims.policy.must_be_one();
    list.holds(steps::POLICY_RESERVED, reserved, "bits 63:26 zero, bit 17 one", claims.policy.to_string())?;
    let abi = claims.policy.abi();
    list.holds(
        steps::ABI,
        policy.abi.accepts(&abi),
        policy.abi.describe(ToString::to_string),
        abi.to_string(),
    )
}

fn guest_bits(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let (rules, found) = (&policy.guest_policy, claims.policy);
    bit(steps::SMT, rules.smt, found.smt(), list)?;
    bit(steps::SOCKET, rules.single_socket, found.single_socket(), list)?;
    bit(steps::XTS, rules.mem_aes_256_xts, found.mem_aes_256_xts(), list)?;
    bit(steps::RAPL, rules.rapl_dis, found.rapl_dis(), list)?;
    bit(steps::CTH, rules.ciphertext_hiding, found.ciphertext_hiding(), list)?;
    bit(steps::SWAP, rules.page_swap_disable, found.page_swap_disable(), list)
}

fn platform_bits(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let (rules, found) = (&policy.platform, claims.platform_info);
    bit(steps::PLATFORM_SMT, rules.smt, found.smt_en(), list)?;
    bit(steps::TSME, rules.tsme, found.tsme_en(), list)?;
    bit(steps::ECC, rules.ecc, found.ecc_en(), list)?;
    bit(steps::PLATFORM_RAPL, rules.rapl_dis, found.rapl_dis(), list)?;
    bit(steps::PLATFORM_CTH, rules.ciphertext_hiding, found.ciphertext_hiding_en(), list)?;
    bit(steps::ALIAS, rules.alias_check, found.alias_check_complete(), list)?;
    bit(steps::IOMMU, rules.iommu, found.iommu_write_safe(), list)?;
    bit(steps::TIO, rules.tio, found.tio_en(), list)?;
    let unknown = found.unknown() & !rules.unknown_accepted;
    list.holds(steps::UNKNOWN, unknown == 0, "no unknown bit", format!("{unknown:#x}"))
}

/// `reported <= committed <= current` and `reported <= current` in every component, and committed firmware.
fn tcb_order(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let SnpClaims { current_tcb, committed_tcb, reported_tcb, .. } = claims;
    let holds = current_tcb.below(committed_tcb).is_none()
        && current_tcb.below(reported_tcb).is_none()
        && committed_tcb.below(reported_tcb).is_none()
        && claims.committed_firmware <= claims.current_firmware;
    let found = format!("reported {reported_tcb}; committed {committed_tcb}; current {current_tcb}");
    list.holds(steps::TCB_ORDER, holds, "reported <= committed <= current", found)?;
    let settled = current_tcb == committed_tcb && claims.current_firmware == claims.committed_firmware;
    let found = format!(
        "committed {committed_tcb} firmware {}; current {current_tcb} firmware {}",
        claims.committed_firmware, claims.current_firmware
    );
    match &policy.provisional {
        ProvisionalRule::Accepted { .. } => list.holds(steps::PROVISIONAL, true, "any (waived)", found),
        ProvisionalRule::Refused => list.holds(steps::PROVISIONAL, settled, "committed = current", found),
    }
}

fn floors(claims: &SnpClaims, policy: &SnpPolicy, list: &mut Checklist) -> Result<(), Rejection> {
    let lines = match &policy.floors {
        FloorRule::File { floors, .. } => applicable(claims, floors),
        FloorRule::Unchecked { .. } => return floors_waived(list),
    };
    // accepting Milan is a named loosening of the policy; a line denied for anything else stays denied
    let denied =
        lines.iter().filter(|_| claims.product != Product::Milan).find_map(|line| line.denied.as_ref());
    let known = !lines.is_empty();
    let silicon = claims.cpuid.map_or_else(|| "no CPUID".to_owned(), |cpuid| cpuid.to_string());
    let found = denied.map_or_else(|| silicon.clone(), |reason| format!("{silicon}: {reason}"));
    list.holds(steps::LINE, known && denied.is_none(), "a silicon line with floors, not denied", found)?;
    if !known {
        return Ok(()); // an explanation has nothing to compare with
    }
    for (step, found) in [
        (steps::FLOOR_REPORTED, &claims.reported_tcb),
        (steps::FLOOR_COMMITTED, &claims.committed_tcb),
        (steps::FLOOR_LAUNCH, &claims.launch_tcb),
    ] {
        let low = lines.iter().find_map(|line| found.below(&line.tcb).map(|component| (component, line)));
        let expected = match low {
            Some((component, line)) => format!("{component} at least as in {}", line.tcb),
            None => described(&lines, |line| line.tcb.to_string()),
        };
        list.holds(step, low.is_none(), expected, found.to_string())?;
    }
    let enough = |firmware: FirmwareVersion| lines.iter().all(|line| firmware >= line.firmware);
    let firmware = enough(claims.current_firmware) && enough(claims.committed_firmware);
    let expected = described(&lines, |line| line.firmware.to_string());
    list.holds(steps::FLOOR_FIRMWARE, firmware, expected, claims.committed_firmware.to_string())?;
    let mask = lines.iter().fold(0, |mask, line| mask | line.mitigations);
    let missing = mask & !(claims.launch_mitigations & claims.current_mitigations);
    let found = format!("launch {:#x} current {:#x}", claims.launch_mitigations, claims.current_mitigations);
    list.holds(steps::MITIGATION, missing == 0, format!("bits {mask:#x} in both"), found)
}

/// The lines of this silicon; for a version 2 report, whose silicon is not signed, every line of the product.
fn applicable<'a>(claims: &SnpClaims, floors: &'a TcbFloors) -> Vec<&'a FloorLine> {
    match claims.cpuid {
        Some(cpuid) => floors.line(cpuid).into_iter().collect(),
        None => floors.lines.iter().filter(|line| line.product() == Some(claims.product)).collect(),
    }
}

fn floors_waived(list: &mut Checklist) -> Result<(), Rejection> {
    for step in [
        steps::LINE,
        steps::FLOOR_REPORTED,
        steps::FLOOR_COMMITTED,
        steps::FLOOR_LAUNCH,
        steps::FLOOR_FIRMWARE,
        steps::MITIGATION,
    ] {
        list.holds(step, true, "any (waived)", "not judged")?;
    }
    Ok(())
}

fn described(lines: &[&FloorLine], spell: impl Fn(&FloorLine) -> String) -> String {
    let spelled: Vec<String> = lines.iter().map(|line| format!("{}: {}", line.name, spell(line))).collect();
    spelled.join("; ")
}

/// The rows a release fixes.
pub(super) fn release<'p>(
    claims: &SnpClaims,
    references: &'p ReferenceValues,
    list: &mut Checklist,
) -> Result<&'p Voucher, Rejection> {
    let found = claims.measurement.to_hex();
    let releases = match references {
        ReferenceValues::Pinned(releases) => releases,
        ReferenceValues::Unchecked { .. } => {
            for step in [
                steps::MEASUREMENT,
                steps::ID_BLOCK,
                steps::SVN,
                steps::FAMILY,
                steps::IMAGE,
                steps::HOST_DATA,
            ] {
                list.holds(step, true, "any (waived)", "not judged")?;
            }
            return Ok(&Voucher::Author);
        }
    };
    let release = releases.iter().find(|release| release.measurement.accepts(&claims.measurement));
    let Some(release) = release else {
        let known: Vec<String> =
            releases.iter().map(|release| release.measurement.describe(Measurement::to_hex)).collect();
        list.holds(steps::MEASUREMENT, false, format!("one of [{}]", known.join(", ")), found)?;
        return Ok(&Voucher::Author);
    };
    list.holds(steps::MEASUREMENT, true, format!("release {}", release.name), found)?;
    id_block(claims, release, list)?;
    let svn = release.guest_svn.describe(u32::to_string);
    list.holds(steps::SVN, release.guest_svn.accepts(&claims.guest_svn), svn, claims.guest_svn.to_string())?;
    exact(steps::FAMILY, &release.family_id, &claims.family_id, list)?;
    exact(steps::IMAGE, &release.image_id, &claims.image_id, list)?;
    exact(steps::HOST_DATA, &release.host_data, &claims.host_data, list)?;
    Ok(&release.voucher)
}

fn id_block(claims: &SnpClaims, release: &Release, list: &mut Checklist) -> Result<(), Rejection> {
    let found = format!(
        "id key {} author key {} enabled {}",
        to_hex(&claims.id_key_digest),
        to_hex(&claims.author_key_digest),
        claims.author_key_en
    );
    let (id, author, enabled) = match &release.id_block {
        IdBlock::Absent => ([0; 48], [0; 48], false),
        IdBlock::Keys { id_key_digest, author_key_digest } => {
            (*id_key_digest, author_key_digest.unwrap_or([0; 48]), author_key_digest.is_some())
        }
        IdBlock::Waived { .. } => return list.holds(steps::ID_BLOCK, true, "any (waived)", found),
    };
    let holds =
        claims.id_key_digest == id && claims.author_key_digest == author && claims.author_key_en == enabled;
    let expected = format!("id key {} author key {} enabled {enabled}", to_hex(&id), to_hex(&author));
    list.holds(steps::ID_BLOCK, holds, expected, found)
}

fn exact<const N: usize>(
    step: Step,
    requirement: &Requirement<[u8; N]>,
    found: &[u8; N],
    list: &mut Checklist,
) -> Result<(), Rejection> {
    let expected = requirement.describe(|value| to_hex(value));
    list.holds(step, requirement.accepts(found), expected, to_hex(found))
}

fn bit(step: Step, rule: Bit, found: bool, list: &mut Checklist) -> Result<(), Rejection> {
    list.holds(step, rule.accepts(found), rule.describe(), if found { "1" } else { "0" })
}
