//! The verdict over a platform: which of Intel's levels it meets, merged over platform, TDX module and quoting
//! enclave to the worst. Follows Intel's quote verification library (`TcbLevelCheck`, `TDRelaunchCheck`).

use super::tcb_info::{EnclaveLevel, ModuleIdentity, PlatformLevel, QeIdentity, TcbInfo, Verdict};
use crate::claims::tdx::{PckIdentity, TcbStatus, TdReport};

/// The merged verdict and what was found out about the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evaluation {
    /// The worst of everything.
    pub(super) status: TcbStatus,
    /// Every advisory of a matched level, sorted, once.
    pub(super) advisories: Vec<String>,
    /// Whether the module is one the TCB info knows.
    pub(super) module: Result<(), &'static str>,
}

/// Evaluates a quote's platform against its collateral.
pub(super) fn evaluate(
    report: &TdReport,
    pck: &PckIdentity,
    qe_isv_svn: u16,
    tcb_info: &TcbInfo,
    qe_identity: &QeIdentity,
) -> Evaluation {
    let mut advisories = Vec::new();
    let qe = enclave_level(&qe_identity.levels, qe_isv_svn, &mut advisories);
    let mut launch = |svn: &[u8; 16]| {
        let platform = platform_level(&tcb_info.levels, pck, svn, &mut advisories);
        let module = module_status(tcb_info, svn, &mut advisories);
        worst(worst(platform, module), qe)
    };
    let at_launch = launch(&report.tee_tcb_svn);
    let status = match &report.tee_tcb_svn2 {
        None => at_launch,
        Some(running) => relaunch(at_launch, launch(running)),
    };
    advisories.sort();
    advisories.dedup();
    let running = report.tee_tcb_svn2.iter().map(|svn| module_is_known(tcb_info, report, svn));
    let module =
        std::iter::once(module_is_known(tcb_info, report, &report.tee_tcb_svn)).chain(running).collect();
    Evaluation { status, advisories, module }
}

/// The worst of two, where one that is old and one that is misconfigured are both.
pub(super) fn worst(a: TcbStatus, b: TcbStatus) -> TcbStatus {
    let either = |has: fn(TcbStatus) -> bool| has(a) || has(b);
    if a == TcbStatus::NoMatchingTcbLevel || b == TcbStatus::NoMatchingTcbLevel {
        return TcbStatus::NoMatchingTcbLevel;
    }
    if a == TcbStatus::Revoked || b == TcbStatus::Revoked {
        return TcbStatus::Revoked;
    }
    let configuration = either(TcbStatus::configuration_needed);
    let old = either(TcbStatus::out_of_date);
    let relaunch = either(TcbStatus::relaunch_advised);
    let hardening = either(TcbStatus::hardening_needed);
    match (old, relaunch, configuration, hardening) {
        (true, _, true, _) => TcbStatus::OutOfDateConfigurationNeeded,
        (true, _, false, _) => TcbStatus::OutOfDate,
        (false, true, true, _) => TcbStatus::TdRelaunchAdvisedConfigurationNeeded,
        (false, true, false, _) => TcbStatus::TdRelaunchAdvised,
        (false, false, true, true) => TcbStatus::ConfigurationAndSwHardeningNeeded,
        (false, false, true, false) => TcbStatus::ConfigurationNeeded,
        (false, false, false, true) => TcbStatus::SwHardeningNeeded,
        (false, false, false, false) => TcbStatus::UpToDate,
    }
}

/// Launched under something old, running on something that is not: only a relaunch is wanting. Unlike Intel's
/// library, a running TCB that is worse than the launched one counts.
pub(super) fn relaunch(at_launch: TcbStatus, running: TcbStatus) -> TcbStatus {
    let fine =
        !running.out_of_date() && !matches!(running, TcbStatus::Revoked | TcbStatus::NoMatchingTcbLevel);
    if at_launch.out_of_date() && fine {
        if at_launch.configuration_needed() || running.configuration_needed() {
            TcbStatus::TdRelaunchAdvisedConfigurationNeeded
        } else {
            TcbStatus::TdRelaunchAdvised
        }
    } else {
        worst(at_launch, running)
    }
}

/// The first level whose every component is met. TDX components 0 and 1 belong to the module, and are left to its
/// identity when the module has a version.
fn platform_level(
    levels: &[PlatformLevel],
    pck: &PckIdentity,
    tee_tcb_svn: &[u8; 16],
    advisories: &mut Vec<String>,
) -> TcbStatus {
    let skipped = if module_version(tee_tcb_svn) > 0 { 2 } else { 0 };
    let met = |level: &&PlatformLevel| {
        let sgx = pck.cpu_svn.iter().zip(&level.sgx).all(|(own, least)| own >= least);
        let tdx = tee_tcb_svn.iter().zip(&level.tdx).skip(skipped).all(|(own, least)| own >= least);
        sgx && tdx && pck.pce_svn >= level.pce_svn
    };
    take(levels.iter().find(met).map(|level| &level.verdict), advisories)
}

fn module_status(tcb_info: &TcbInfo, tee_tcb_svn: &[u8; 16], advisories: &mut Vec<String>) -> TcbStatus {
    if module_version(tee_tcb_svn) == 0 {
        return TcbStatus::UpToDate;
    }
    let [isv_svn, ..] = tee_tcb_svn;
    match module_identity(tcb_info, tee_tcb_svn) {
        // an unknown module is refused for that, see `module_is_known`
        None => TcbStatus::UpToDate,
        Some(identity) => enclave_level(&identity.levels, u16::from(*isv_svn), advisories),
    }
}

fn enclave_level(levels: &[EnclaveLevel], isv_svn: u16, advisories: &mut Vec<String>) -> TcbStatus {
    take(levels.iter().find(|level| isv_svn >= level.isv_svn).map(|level| &level.verdict), advisories)
}

fn take(verdict: Option<&Verdict>, advisories: &mut Vec<String>) -> TcbStatus {
    match verdict {
        None => TcbStatus::NoMatchingTcbLevel,
        Some(verdict) => {
            advisories.extend(verdict.advisories.iter().cloned());
            verdict.status
        }
    }
}

const fn module_version(tee_tcb_svn: &[u8; 16]) -> u8 {
    let [_, version, ..] = tee_tcb_svn;
    *version
}

/// The identity of the module of this version; that of version 0 stands apart.
fn module_identity<'a>(tcb_info: &'a TcbInfo, tee_tcb_svn: &[u8; 16]) -> Option<&'a ModuleIdentity> {
    match module_version(tee_tcb_svn) {
        0 => tcb_info.module.as_ref(),
        version => {
            let id = format!("TDX_{version:02X}");
            let mut known = tcb_info.modules.iter().filter(|module| module.id.eq_ignore_ascii_case(&id));
            known.next().filter(|_| known.next().is_none())
        }
    }
}

/// Signer and attributes of the module in the report. Attributes outside the mask must be zero, which Intel's
/// identities make all of them.
fn module_is_known(
    tcb_info: &TcbInfo,
    report: &TdReport,
    tee_tcb_svn: &[u8; 16],
) -> Result<(), &'static str> {
    if tcb_info.module.is_none() {
        return Err("no TDX module in the TCB info");
    }
    let Some(identity) = module_identity(tcb_info, tee_tcb_svn) else {
        return Err("a module version the TCB info does not have");
    };
    if *report.mr_signer_seam.as_bytes() != identity.mr_signer {
        return Err("another MRSIGNERSEAM");
    }
    let own = report.seam_attributes.to_le_bytes();
    let as_listed = own
        .iter()
        .zip(&identity.attributes)
        .zip(&identity.attributes_mask)
        .all(|((own, listed), mask)| own & mask == listed & mask && own & !mask == 0);
    if as_listed { Ok(()) } else { Err("other SEAMATTRIBUTES") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TcbStatus::{
        ConfigurationAndSwHardeningNeeded, ConfigurationNeeded, NoMatchingTcbLevel, OutOfDate,
        OutOfDateConfigurationNeeded, Revoked, SwHardeningNeeded, TdRelaunchAdvised,
        TdRelaunchAdvisedConfigurationNeeded, UpToDate,
    };

    #[test]
    fn merging_is_symmetric_and_never_better_than_either() {
        let badness = |status: TcbStatus| TcbStatus::ALL.iter().position(|other| *other == status);
        for a in TcbStatus::ALL {
            assert_eq!(worst(a, a), a);
            assert_eq!(worst(a, UpToDate), a);
            for b in TcbStatus::ALL {
                assert_eq!(worst(a, b), worst(b, a), "{a} {b}");
                assert!(badness(worst(a, b)) >= badness(a).max(badness(b)), "{a} {b}");
            }
        }
        assert_eq!(worst(ConfigurationNeeded, SwHardeningNeeded), ConfigurationAndSwHardeningNeeded);
        assert_eq!(worst(ConfigurationNeeded, OutOfDate), OutOfDateConfigurationNeeded);
        assert_eq!(worst(Revoked, NoMatchingTcbLevel), NoMatchingTcbLevel);
    }

    #[test]
    fn relaunch_is_advised_only_from_old_to_not_old() {
        for (at_launch, running, expected) in [
            (OutOfDate, UpToDate, TdRelaunchAdvised),
            (OutOfDate, SwHardeningNeeded, TdRelaunchAdvised),
            (OutOfDate, ConfigurationNeeded, TdRelaunchAdvisedConfigurationNeeded),
            (OutOfDateConfigurationNeeded, UpToDate, TdRelaunchAdvisedConfigurationNeeded),
            (OutOfDate, OutOfDate, OutOfDate),
            (OutOfDate, Revoked, Revoked),
            (OutOfDate, NoMatchingTcbLevel, NoMatchingTcbLevel),
            (UpToDate, UpToDate, UpToDate),
            (UpToDate, OutOfDate, OutOfDate),
            (SwHardeningNeeded, UpToDate, SwHardeningNeeded),
            (Revoked, UpToDate, Revoked),
        ] {
            assert_eq!(relaunch(at_launch, running), expected, "{at_launch} {running}");
        }
    }
}
