//! What one quote and its collateral are made from; every field can be set.

use crate::certificate::DAY;
use crate::tdx::collateral::{LevelSpec, ModuleSpec, QeIdentitySpec, TcbInfoSpec};
use crate::tdx::fault::TdxFault;
use crate::tdx::pki::PckPlatform;
use crate::tdx::quote::{Body, Header, QeReport};

const SIGNER: &str = "Intel SGX TCB Signing";

/// Intel's quoting enclave, and who signs it.
const VENDOR: u128 = 0x939a_7233_f79c_4ca9_940a_0db3_957f_0607;
const QE_SIGNER: [u8; 32] = [0xdc; 32];

/// Everything about one quote and its collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxSpec {
    /// Unix seconds that certificates and lists are dated around.
    pub now: u64,
    /// Header of the quote.
    pub header: Header,
    /// Body of the quote.
    pub body: Body,
    /// Report of the quoting enclave.
    pub qe: QeReport,
    /// The platform in the PCK certificate.
    pub pck: PckPlatform,
    /// TCB info.
    pub tcb_info: TcbInfoSpec,
    /// Identity of the quoting enclave.
    pub qe_identity: QeIdentitySpec,
    /// First and last second of the PCK certificate.
    pub pck_validity: (u64, u64),
    /// First and last second of the PCK CA certificate.
    pub ca_validity: (u64, u64),
    /// First and last second of the TCB signer's certificate.
    pub signer_validity: (u64, u64),
    /// First and last second of both revocation lists.
    pub crl_validity: (u64, u64),
    /// Common name of the TCB signer.
    pub signer_name: String,
    /// What follows the quote.
    pub padding: Vec<u8>,
    /// What is wrong with the structure, if anything.
    pub fault: Option<TdxFault>,
}

impl TdxSpec {
    /// A good version 4 quote of an up-to-date platform at this time.
    pub fn new(now: u64) -> Self {
        Self {
            now,
            header: Header {
                version: 4,
                key_type: 2,
                tee_type: 0x81,
                vendor: VENDOR.to_be_bytes(),
                user_data: [0x1d; 20],
            },
            body: good_body(),
            qe: good_qe(),
            pck: good_pck(),
            tcb_info: good_tcb_info(now),
            qe_identity: good_qe_identity(now),
            pck_validity: (now - DAY, now + 300 * DAY),
            ca_validity: (now - DAY, now + 300 * DAY),
            signer_validity: (now - DAY, now + 300 * DAY),
            crl_validity: (now - 3600, now + 30 * DAY),
            signer_name: SIGNER.to_owned(),
            padding: Vec::new(),
            fault: None,
        }
    }

    /// The same as a version 5 quote with a TDX 1.5 body, which runs on the module it was launched under.
    pub fn version_5(now: u64) -> Self {
        let mut spec = Self::new(now);
        spec.header.version = 5;
        spec.body.extension = Some((spec.body.tee_tcb_svn, [0; 48]));
        spec
    }
}

fn good_body() -> Body {
    Body {
        tee_tcb_svn: [6, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3],
        mr_seam: [0x5e; 48],
        mr_signer_seam: [0; 48],
        seam_attributes: 0,
        td_attributes: 1 << 28,
        xfam: 0x0006_02e7,
        mr_td: [0x7d; 48],
        mr_config_id: [0; 48],
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        rtmr: [[0x10; 48], [0x11; 48], [0x12; 48], [0; 48]],
        report_data: [0xda; 64],
        extension: None,
    }
}

fn good_qe() -> QeReport {
    QeReport {
        miscselect: [0; 4],
        attributes: [0x11, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0],
        mr_signer: QE_SIGNER,
        isv_prod_id: 2,
        isv_svn: 6,
    }
}

fn good_pck() -> PckPlatform {
    PckPlatform {
        ppid: [0x1d; 16],
        components: [3; 16],
        cpu_svn: [3; 16],
        pce_svn: 13,
        pce_id: [0; 2],
        fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0],
        platform_instance_id: [0x1e; 16],
        smt: true,
    }
}

fn good_tcb_info(now: u64) -> TcbInfoSpec {
    let (low, high) = ([2; 16], [3; 16]);
    let mut old_module = [0; 16];
    old_module[0] = 5;
    TcbInfoSpec {
        id: "TDX".to_owned(),
        version: 3,
        issued_at: now - 3600,
        next_update: now + 30 * DAY,
        fmspc: [0x90, 0xc0, 0x6f, 0, 0, 0],
        pce_id: [0; 2],
        tcb_type: 0,
        evaluation_number: 20,
        modules: vec![ModuleSpec {
            id: "TDX_01".to_owned(),
            mr_signer: [0; 48],
            attributes: [0; 8],
            levels: vec![LevelSpec::enclave(6, "UpToDate"), LevelSpec::enclave(4, "OutOfDate")],
        }],
        levels: vec![
            LevelSpec::platform(high, 13, high, "UpToDate"),
            LevelSpec::platform(low, 11, old_module, "OutOfDate"),
        ],
    }
}

fn good_qe_identity(now: u64) -> QeIdentitySpec {
    QeIdentitySpec {
        id: "TD_QE".to_owned(),
        version: 2,
        issued_at: now - 3600,
        next_update: now + 30 * DAY,
        evaluation_number: 20,
        miscselect: [0; 4],
        attributes: [0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        mr_signer: QE_SIGNER,
        isv_prod_id: 2,
        levels: vec![LevelSpec::enclave(6, "UpToDate"), LevelSpec::enclave(4, "OutOfDate")],
    }
}
