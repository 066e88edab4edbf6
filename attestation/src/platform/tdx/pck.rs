//! The Intel SGX extension of a PCK certificate ("Intel SGX PCK Certificate and CRL Specification", revision 1.5):
//! which platform it is, at which security versions. Every entry at most once, unknown entries left alone.

use crate::claims::tdx::{Fmspc, PckIdentity};
use crate::der::{Der, DerError, tag};
use crate::x509::Certificate;

/// 1.2.840.113741.1.13.1; every entry's identifier begins with it.
const SGX_EXTENSION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

const ENUMERATED: u8 = 0x0a;

/// Number of SGX components; entry 17 is PCESVN, entry 18 CPUSVN.
const COMPONENTS: u8 = 16;

/// The platform a certificate speaks of.
///
/// Security versions are the lower of the sixteen listed components and of CPUSVN, which agree on real platforms.
pub(crate) fn identity(certificate: &Certificate<'_>) -> Result<PckIdentity, DerError> {
    let missing = DerError::Value("set of SGX extension entries");
    let extension = certificate.extensions.iter().find(|extension| extension.id == SGX_EXTENSION);
    let mut outer = Der::new(extension.ok_or(missing)?.value);
    let mut entries = outer.inside(tag::SEQUENCE)?;
    outer.finish()?;
    let mut found = Found::default();
    while !entries.is_empty() {
        let mut entry = entries.inside(tag::SEQUENCE)?;
        let Some([number]) = entry.element(tag::OID)?.strip_prefix(SGX_EXTENSION) else {
            return Err(DerError::Value("SGX extension entry"));
        };
        match number {
            1 => once(&mut found.ppid, octets(&mut entry)?)?,
            2 => once(&mut found.tcb, tcb(entry.inside(tag::SEQUENCE)?)?)?,
            3 => once(&mut found.pce_id, octets(&mut entry)?)?,
            4 => once(&mut found.fmspc, Fmspc(octets(&mut entry)?))?,
            5 => once(&mut found.sgx_type, entry.element(ENUMERATED)?.len())?,
            6 => once(&mut found.platform_instance_id, octets(&mut entry)?)?,
            7 => once(&mut found.configuration, configuration(entry.inside(tag::SEQUENCE)?)?)?,
            _ => {
                entry.any()?;
            }
        }
        entry.finish()?;
    }
    let (cpu_svn, pce_svn) = found.tcb.ok_or(missing)?;
    Ok(PckIdentity {
        ppid: found.ppid.ok_or(missing)?,
        cpu_svn,
        pce_svn,
        pce_id: found.pce_id.ok_or(missing)?,
        fmspc: found.fmspc.ok_or(missing)?,
        platform_instance_id: found.platform_instance_id,
        smt_enabled: found.configuration.and_then(|configuration| configuration.smt_enabled),
    })
}

#[derive(Default)]
struct Found {
    ppid: Option<[u8; 16]>,
    tcb: Option<([u8; 16], u16)>,
    pce_id: Option<[u8; 2]>,
    fmspc: Option<Fmspc>,
    sgx_type: Option<usize>,
    platform_instance_id: Option<[u8; 16]>,
    configuration: Option<Configuration>,
}

/// Entry 7, on multi-package platforms.
struct Configuration {
    smt_enabled: Option<bool>,
}

fn tcb(mut entries: Der<'_>) -> Result<([u8; 16], u16), DerError> {
    let mut components = [None; 16];
    let (mut pce_svn, mut cpu_svn) = (None, None);
    while !entries.is_empty() {
        let mut entry = entries.inside(tag::SEQUENCE)?;
        let Some([2, number]) = entry.element(tag::OID)?.strip_prefix(SGX_EXTENSION) else {
            return Err(DerError::Value("TCB entry"));
        };
        match number {
            1..=COMPONENTS => {
                let slot = components.get_mut(usize::from(number.saturating_sub(1)));
                once(slot.ok_or(DerError::Value("TCB entry"))?, entry.byte()?)?;
            }
            17 => once(&mut pce_svn, u16_of(entry.unsigned()?)?)?,
            18 => once(&mut cpu_svn, octets::<16>(&mut entry)?)?,
            _ => return Err(DerError::Value("TCB entry")),
        }
        entry.finish()?;
    }
    let missing = DerError::Value("set of TCB entries");
    let mut lowest: [u8; 16] = cpu_svn.ok_or(missing)?;
    for (own, component) in lowest.iter_mut().zip(components) {
        *own = component.ok_or(missing)?.min(*own);
    }
    Ok((lowest, pce_svn.ok_or(missing)?))
}

fn configuration(mut entries: Der<'_>) -> Result<Configuration, DerError> {
    let mut smt_enabled = None;
    while !entries.is_empty() {
        let mut entry = entries.inside(tag::SEQUENCE)?;
        let id = entry.element(tag::OID)?.strip_prefix(SGX_EXTENSION);
        let value = entry.boolean()?;
        entry.finish()?;
        if id == Some(&[7, 3]) {
            once(&mut smt_enabled, value)?;
        }
    }
    Ok(Configuration { smt_enabled })
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DerError> {
    if slot.replace(value).is_some() { Err(DerError::Value("repeated SGX extension entry")) } else { Ok(()) }
}

fn octets<const N: usize>(entry: &mut Der<'_>) -> Result<[u8; N], DerError> {
    let content = entry.element(tag::OCTET_STRING)?;
    content.try_into().map_err(|_| DerError::Value("length of an SGX extension entry"))
}

fn u16_of(magnitude: &[u8]) -> Result<u16, DerError> {
    match magnitude {
        [] => Ok(0),
        [low] => Ok(u16::from(*low)),
        [high, low] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(DerError::Value("PCESVN")),
    }
}
