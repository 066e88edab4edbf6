//! TCB info and quoting enclave identity as Intel's provisioning service writes them.

use serde_json::{Value, json};

use crate::der::civil_date;

/// One level of a platform, module or enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelSpec {
    /// SGX components, or for a module or enclave its ISVSVN in the first place.
    pub sgx: [u8; 16],
    /// TDX components.
    pub tdx: [u8; 16],
    /// PCESVN.
    pub pce_svn: u16,
    /// Intel's status text.
    pub status: String,
    /// Advisories.
    pub advisories: Vec<String>,
    /// Date of the level, RFC 3339.
    pub date: String,
}

impl LevelSpec {
    /// A level of a platform.
    pub fn platform(sgx: [u8; 16], pce_svn: u16, tdx: [u8; 16], status: &str) -> Self {
        Self {
            sgx,
            tdx,
            pce_svn,
            status: status.to_owned(),
            advisories: Vec::new(),
            date: rfc3339(1_767_225_600),
        }
    }

    /// A level of a module or enclave.
    pub fn enclave(isv_svn: u8, status: &str) -> Self {
        let mut sgx = [0; 16];
        sgx[0] = isv_svn;
        Self::platform(sgx, 0, [0; 16], status)
    }

    fn with(&self, tcb: &Value) -> Value {
        let mut level = json!({"tcb": tcb, "tcbDate": self.date, "tcbStatus": self.status});
        if !self.advisories.is_empty() {
            level["advisoryIDs"] = json!(self.advisories);
        }
        level
    }

    fn of_platform(&self) -> Value {
        let components = |list: [u8; 16]| list.map(|svn| json!({"svn": svn}));
        self.with(&json!({
            "sgxtcbcomponents": components(self.sgx),
            "pcesvn": self.pce_svn,
            "tdxtcbcomponents": components(self.tdx),
        }))
    }

    fn of_enclave(&self) -> Value {
        self.with(&json!({"isvsvn": self.sgx[0]}))
    }
}

/// A TDX module's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSpec {
    /// `TDX_01` and so on.
    pub id: String,
    /// Signer.
    pub mr_signer: [u8; 48],
    /// Attributes.
    pub attributes: [u8; 8],
    /// Levels.
    pub levels: Vec<LevelSpec>,
}

impl ModuleSpec {
    fn value(&self) -> Value {
        let levels: Vec<Value> = self.levels.iter().map(LevelSpec::of_enclave).collect();
        json!({
            "id": self.id,
            "mrsigner": hex::encode_upper(self.mr_signer),
            "attributes": hex::encode_upper(self.attributes),
            "attributesMask": "FFFFFFFFFFFFFFFF",
            "tcbLevels": levels,
        })
    }
}

/// TCB info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbInfoSpec {
    /// `TDX`.
    pub id: String,
    /// 3.
    pub version: u32,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// Platform family.
    pub fmspc: [u8; 6],
    /// PCE id.
    pub pce_id: [u8; 2],
    /// 0.
    pub tcb_type: u32,
    /// Evaluation data number.
    pub evaluation_number: u32,
    /// Modules by version.
    pub modules: Vec<ModuleSpec>,
    /// Levels, highest first.
    pub levels: Vec<LevelSpec>,
}

impl TcbInfoSpec {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let modules: Vec<Value> = self.modules.iter().map(ModuleSpec::value).collect();
        let levels: Vec<Value> = self.levels.iter().map(LevelSpec::of_platform).collect();
        json!({
            "id": self.id,
            "version": self.version,
            "issueDate": rfc3339(self.issued_at),
            "nextUpdate": rfc3339(self.next_update),
            "fmspc": hex::encode_upper(self.fmspc),
            "pceId": hex::encode_upper(self.pce_id),
            "tcbType": self.tcb_type,
            "tcbEvaluationDataNumber": self.evaluation_number,
            "tdxModule": {
                "mrsigner": "0".repeat(96), "attributes": "0".repeat(16), "attributesMask": "F".repeat(16),
            },
            "tdxModuleIdentities": modules,
            "tcbLevels": levels,
        })
        .to_string()
    }
}

/// Identity of the quoting enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QeIdentitySpec {
    /// `TD_QE`.
    pub id: String,
    /// 2.
    pub version: u32,
    /// Unix seconds.
    pub issued_at: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// Evaluation data number.
    pub evaluation_number: u32,
    /// MISCSELECT.
    pub miscselect: [u8; 4],
    /// ATTRIBUTES.
    pub attributes: [u8; 16],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID.
    pub isv_prod_id: u16,
    /// Levels, highest first.
    pub levels: Vec<LevelSpec>,
}

impl QeIdentitySpec {
    /// The text that is signed.
    pub fn text(&self) -> String {
        let levels: Vec<Value> = self.levels.iter().map(LevelSpec::of_enclave).collect();
        json!({
            "id": self.id,
            "version": self.version,
            "issueDate": rfc3339(self.issued_at),
            "nextUpdate": rfc3339(self.next_update),
            "tcbEvaluationDataNumber": self.evaluation_number,
            "miscselect": hex::encode_upper(self.miscselect),
            "miscselectMask": "FFFFFFFF",
            "attributes": hex::encode_upper(self.attributes),
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": hex::encode_upper(self.mr_signer),
            "isvprodid": self.isv_prod_id,
            "tcbLevels": levels,
        })
        .to_string()
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
pub fn rfc3339(unix: u64) -> String {
    let (year, month, day) = civil_date(unix / 86_400);
    let (hour, minute, second) = (unix / 3600 % 24, unix / 60 % 60, unix % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
