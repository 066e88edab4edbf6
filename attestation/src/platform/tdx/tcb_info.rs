//! Intel's two signed texts, read into types: TCB info version 3 (levels of platform and TDX module) and the
//! identity of the TD quoting enclave. Reading says nothing about who signed them.

use crate::claims::tdx::{Fmspc, TcbStatus};
use crate::digest::{UnixTime, from_hex};
use crate::rejection::{Code, Rejection};
use serde_json::Value;

/// Most levels, identities or advisories of one list.
const MAX_ENTRIES: usize = 64;

/// One level of a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlatformLevel {
    /// Lowest versions of the SGX components.
    pub(super) sgx: [u8; 16],
    /// Lowest version of the certification enclave.
    pub(super) pce_svn: u16,
    /// Lowest versions of the TDX components.
    pub(super) tdx: [u8; 16],
    /// Verdict and advisories.
    pub(super) verdict: Verdict,
}

/// One level of an enclave or module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EnclaveLevel {
    /// Lowest security version.
    pub(super) isv_svn: u16,
    /// Verdict and advisories.
    pub(super) verdict: Verdict,
}

/// What Intel says of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Status of the level.
    pub(super) status: TcbStatus,
    /// Advisories that apply to it.
    pub(super) advisories: Vec<String>,
}

/// Signer and attributes of a TDX module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModuleIdentity {
    /// `TDX_` and two hexadecimal digits of the module's major version; empty for the module of version 0.
    pub(super) id: String,
    /// Expected MRSIGNERSEAM.
    pub(super) mr_signer: [u8; 48],
    /// Expected SEAMATTRIBUTES.
    pub(super) attributes: [u8; 8],
    /// Which bits of them are compared.
    pub(super) attributes_mask: [u8; 8],
    /// Levels, highest first.
    pub(super) levels: Vec<EnclaveLevel>,
}

/// TCB info of one platform family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TcbInfo {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) issued_at: UnixTime,
    pub(super) next_update: UnixTime,
    pub(super) fmspc: Fmspc,
    pub(super) pce_id: [u8; 2],
    pub(super) tcb_type: u64,
    pub(super) evaluation_number: u32,
    /// The module without a version in `TEE_TCB_SVN`.
    pub(super) module: Option<ModuleIdentity>,
    /// Modules by version.
    pub(super) modules: Vec<ModuleIdentity>,
    /// Levels in the order in which Intel's verifier tries them: highest first.
    pub(super) levels: Vec<PlatformLevel>,
}

impl TcbInfo {
    /// # Errors
    /// `TDX_COLLATERAL`.
    pub(super) fn parse(text: &str) -> Result<Self, Rejection> {
        let root = Fields::parse(text, "endorsements.collateral.tcb_info")?;
        let mut levels = root
            .list("tcbLevels")?
            .iter()
            .map(|level| root.at(level).platform_level())
            .collect::<Result<Vec<_>, _>>()?;
        levels.sort_by_key(|level| std::cmp::Reverse((level.sgx, level.pce_svn, level.tdx)));
        let module = match root.value.get("tdxModule") {
            None => None,
            Some(module) => Some(root.at(module).module(String::new(), Vec::new())?),
        };
        let modules = match root.value.get("tdxModuleIdentities") {
            None => Vec::new(),
            Some(_) => root
                .list("tdxModuleIdentities")?
                .iter()
                .map(|item| root.at(item).module_with_levels())
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            id: root.text("id")?.to_owned(),
            version: root.number("version")?,
            issued_at: root.time("issueDate")?,
            next_update: root.time("nextUpdate")?,
            fmspc: Fmspc(root.hex("fmspc")?),
            pce_id: root.hex("pceId")?,
            tcb_type: root.number("tcbType")?,
            evaluation_number: root
                .number("tcbEvaluationDataNumber")?
                .try_into()
                .map_err(|_| root.wrong("tcbEvaluationDataNumber"))?,
            module,
            modules,
            levels,
        })
    }
}

/// Identity of the quoting enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QeIdentity {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) issued_at: UnixTime,
    pub(super) next_update: UnixTime,
    pub(super) evaluation_number: u32,
    pub(super) miscselect: [u8; 4],
    pub(super) miscselect_mask: [u8; 4],
    pub(super) attributes: [u8; 16],
    pub(super) attributes_mask: [u8; 16],
    pub(super) mr_signer: [u8; 32],
    pub(super) isv_prod_id: u16,
    /// Levels, highest first.
    pub(super) levels: Vec<EnclaveLevel>,
}

impl QeIdentity {
    /// # Errors
    /// `TDX_COLLATERAL`.
    pub(super) fn parse(text: &str) -> Result<Self, Rejection> {
        let root = Fields::parse(text, "endorsements.collateral.qe_identity")?;
        Ok(Self {
            id: root.text("id")?.to_owned(),
            version: root.number("version")?,
            issued_at: root.time("issueDate")?,
            next_update: root.time("nextUpdate")?,
            evaluation_number: root
                .number("tcbEvaluationDataNumber")?
                .try_into()
                .map_err(|_| root.wrong("tcbEvaluationDataNumber"))?,
            miscselect: root.hex("miscselect")?,
            miscselect_mask: root.hex("miscselectMask")?,
            attributes: root.hex("attributes")?,
            attributes_mask: root.hex("attributesMask")?,
            mr_signer: root.hex("mrsigner")?,
            isv_prod_id: root.number("isvprodid")?.try_into().map_err(|_| root.wrong("isvprodid"))?,
            levels: root.enclave_levels()?,
        })
    }
}

/// An object being read, and the text it belongs to.
struct Fields<'a> {
    value: std::borrow::Cow<'a, Value>,
    of: &'static str,
}

impl Fields<'static> {
    fn parse(text: &str, of: &'static str) -> Result<Self, Rejection> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let found = format!("an error at line {} column {}", error.line(), error.column());
            Rejection::new(Code::TdxCollateral, of, "JSON", found)
        })?;
        Ok(Self { value: std::borrow::Cow::Owned(value), of })
    }
}

impl Fields<'_> {
    const fn at<'b>(&self, value: &'b Value) -> Fields<'b> {
        Fields { value: std::borrow::Cow::Borrowed(value), of: self.of }
    }

    fn wrong(&self, name: &'static str) -> Rejection {
        Rejection::new(Code::TdxCollateral, self.of, format!("a usable `{name}`"), "none")
    }

    fn text(&self, name: &'static str) -> Result<&str, Rejection> {
        self.value.get(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name))
    }

    fn number(&self, name: &'static str) -> Result<u64, Rejection> {
        self.value.get(name).and_then(Value::as_u64).ok_or_else(|| self.wrong(name))
    }

    fn time(&self, name: &'static str) -> Result<UnixTime, Rejection> {
        UnixTime::from_rfc3339(self.text(name)?).ok_or_else(|| self.wrong(name))
    }

    fn hex<const N: usize>(&self, name: &'static str) -> Result<[u8; N], Rejection> {
        let bytes = from_hex(&self.text(name)?.to_ascii_lowercase(), N).map_err(|_| self.wrong(name))?;
        bytes.try_into().map_err(|_| self.wrong(name))
    }

    fn list(&self, name: &'static str) -> Result<&[Value], Rejection> {
        let list = self.value.get(name).and_then(Value::as_array).ok_or_else(|| self.wrong(name))?;
        if list.len() > MAX_ENTRIES { Err(self.wrong(name)) } else { Ok(list) }
    }

    fn verdict(&self) -> Result<Verdict, Rejection> {
        let name = self.text("tcbStatus")?;
        // what Intel computes is not what Intel lists
        let listed = |status: &TcbStatus| {
            !status.relaunch_advised() && *status != TcbStatus::NoMatchingTcbLevel && status.as_str() == name
        };
        let status = TcbStatus::ALL.into_iter().find(listed).ok_or_else(|| self.wrong("tcbStatus"))?;
        let mut advisories = Vec::new();
        if self.value.get("advisoryIDs").is_some() {
            for advisory in self.list("advisoryIDs")? {
                let text = advisory.as_str().filter(|text| is_advisory(text));
                advisories.push(text.ok_or_else(|| self.wrong("advisoryIDs"))?.to_owned());
            }
        }
        Ok(Verdict { status, advisories })
    }

    fn platform_level(&self) -> Result<PlatformLevel, Rejection> {
        let tcb = self.at(self.value.get("tcb").ok_or_else(|| self.wrong("tcb"))?);
        Ok(PlatformLevel {
            sgx: tcb.components("sgxtcbcomponents")?,
            pce_svn: tcb.number("pcesvn")?.try_into().map_err(|_| self.wrong("pcesvn"))?,
            tdx: tcb.components("tdxtcbcomponents")?,
            verdict: self.verdict()?,
        })
    }

    fn components(&self, name: &'static str) -> Result<[u8; 16], Rejection> {
        let versions = self.list(name)?.iter().map(|component| {
            component.get("svn").and_then(Value::as_u64).and_then(|svn| u8::try_from(svn).ok())
        });
        let versions: Option<Vec<u8>> = versions.collect();
        versions.and_then(|list| list.try_into().ok()).ok_or_else(|| self.wrong(name))
    }

    fn enclave_levels(&self) -> Result<Vec<EnclaveLevel>, Rejection> {
        let level = |value: &Value| {
            let level = self.at(value);
            let tcb = level.at(level.value.get("tcb").ok_or_else(|| self.wrong("tcb"))?);
            let isv_svn = tcb.number("isvsvn")?.try_into().map_err(|_| self.wrong("isvsvn"))?;
            Ok(EnclaveLevel { isv_svn, verdict: level.verdict()? })
        };
        let mut levels = self.list("tcbLevels")?.iter().map(level).collect::<Result<Vec<_>, Rejection>>()?;
        levels.sort_by_key(|level| std::cmp::Reverse(level.isv_svn));
        Ok(levels)
    }

    fn module(&self, id: String, levels: Vec<EnclaveLevel>) -> Result<ModuleIdentity, Rejection> {
        Ok(ModuleIdentity {
            id,
            mr_signer: self.hex("mrsigner")?,
            attributes: self.hex("attributes")?,
            attributes_mask: self.hex("attributesMask")?,
            levels,
        })
    }

    fn module_with_levels(&self) -> Result<ModuleIdentity, Rejection> {
        self.module(self.text("id")?.to_owned(), self.enclave_levels()?)
    }
}

/// `INTEL-SA-` and digits: nothing else may reach a result.
fn is_advisory(text: &str) -> bool {
    text.strip_prefix("INTEL-").is_some_and(|rest| {
        (1..=24).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
    })
}
