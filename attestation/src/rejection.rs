//! Every reason to say no, with what was expected and what was found.
//! The codes are stable: clients, dashboards and policies match on them.

use std::fmt;

/// What the caller may do after a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again changes nothing: the other side is not what the policy asks for.
    Never,
    /// Newer evidence or endorsements may be accepted.
    RefreshEvidence,
    /// The same evidence may be accepted later, or after the verifier's own data was renewed.
    RetryLater,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $retry:ident;)+) => {
        /// A stable reason. Part B of the verification policy names most of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable spelling, for example `ATT_MEASUREMENT`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What the caller may do next.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)+ }
            }
        }
    };
}

codes! {
    /// Claims bytes break protocol A3.
    AttClaimsMalformed = "ATT_CLAIMS_MALFORMED", Never;
    /// The configuration does not hash to the claimed digest.
    AttConfig = "ATT_CONFIG", RefreshEvidence;
    /// The deployment identity is not the pinned one.
    AttDeployment = "ATT_DEPLOYMENT", Never;
    /// The processor is not on the allow-list.
    AttHardwareId = "ATT_HARDWARE_ID", Never;
    /// The keyset does not hash to the claimed digest, or breaks protocol A2.
    AttKeyset = "ATT_KEYSET", RefreshEvidence;
    /// The keyset has ended, or ends too far ahead.
    AttKeysetExpired = "ATT_KEYSET_EXPIRED", RefreshEvidence;
    /// Size, CBOR, DER or report structure is wrong.
    AttMalformed = "ATT_MALFORMED", Never;
    /// The measurement is not on the allow-list.
    AttMeasurement = "ATT_MEASUREMENT", Never;
    /// No evidence document came.
    AttMissing = "ATT_MISSING", RetryLater;
    /// The nonce is not ours.
    AttNonce = "ATT_NONCE", RefreshEvidence;
    /// The hardware's report data does not commit to the claims.
    AttReportData = "ATT_REPORT_DATA", Never;
    /// The role or kind of the claims is not the one asked for.
    AttRole = "ATT_ROLE", Never;
    /// The evidence is too old, or from the future.
    AttStale = "ATT_STALE", RefreshEvidence;
    /// This kind of TEE is not on the allow-list.
    AttTeeType = "ATT_TEE_TYPE", Never;
    /// The chain ends in a root that is neither compiled in nor named by the policy.
    AttUntrustedRoot = "ATT_UNTRUSTED_ROOT", Never;
    /// Judging the evidence would cost more work than one appraisal may.
    AttWorkLimit = "ATT_WORK_LIMIT", Never;
    /// The virtual TPM's attestation key is missing, of another kind, or not the one its certificate names.
    AzAk = "AZ_AK", Never;
    /// The hardware's report does not cover the paravisor's run-time data, or is not the one the quote is of.
    AzBinding = "AZ_BINDING", Never;
    /// A register of the virtual TPM is missing, not the quoted one, or not on the allow-list.
    AzPcr = "AZ_PCR", Never;
    /// The virtual TPM's quote is malformed or not signed by its attestation key.
    AzQuote = "AZ_QUOTE", Never;
    /// The session signature does not cover this connection.
    BindSession = "BIND_SESSION", Never;
    /// The TLS key is not one of the keyset's for this name.
    BindSpki = "BIND_SPKI", RefreshEvidence;
    /// A public configuration rule does not hold.
    CfgRule = "CFG_RULE", Never;
    /// A check of the plan was not made: a fault of the verifier, never a pass.
    CheckSkipped = "CHECK_SKIPPED", Never;
    /// The root that is named for Google's endorsement of firmware, or the signer's certificate, does not parse or verify.
    GcpChain = "GCP_CHAIN", Never;
    /// Google's endorsement of firmware does not parse, or does not speak of this kind of TEE.
    GcpEndorsement = "GCP_ENDORSEMENT", Never;
    /// Google's endorsement of firmware is not signed by the key of its certificate.
    GcpSignature = "GCP_SIGNATURE", Never;
    /// Google's endorsement of the firmware is outside its dates.
    GcpStale = "GCP_STALE", RetryLater;
    /// The security version of Google's firmware is below the policy's minimum.
    GcpSvn = "GCP_SVN", Never;
    /// An allow-list of the policy is empty.
    PolEmptyAllowlist = "POL_EMPTY_ALLOWLIST", Never;
    /// The floors file is past its date.
    PolFloorsStale = "POL_FLOORS_STALE", RetryLater;
    /// A policy value is out of its range, or waives what may not be waived.
    PolInvalid = "POL_INVALID", Never;
    /// The other side no longer offers the channel or protocol version the policy asks for.
    ProtoDowngrade = "PROTO_DOWNGRADE", Never;
    /// The key exchange is not the one the policy asks for.
    ProtoPq = "PROTO_PQ", Never;
    /// The connection is not TLS 1.3 as the protocol asks for.
    ProtoTls = "PROTO_TLS", Never;
    /// A release file is not signed by the release key that the policy names.
    RelUnverified = "REL_UNVERIFIED", Never;
    /// `POLICY.ABI` is below the minimum.
    SnpAbi = "SNP_ABI", Never;
    /// The platform did not complete the memory alias check.
    SnpAliasCheck = "SNP_ALIAS_CHECK", Never;
    /// A certificate of the chain does not parse, does not verify or is outside its dates.
    SnpChain = "SNP_CHAIN", RefreshEvidence;
    /// `CHIP_ID` is not the certificate's hardware id, or is zero.
    SnpChipId = "SNP_CHIP_ID", Never;
    /// No usable revocation list came with the evidence.
    SnpCrlMissing = "SNP_CRL_MISSING", RefreshEvidence;
    /// The VLEK belongs to another cloud provider.
    SnpCspId = "SNP_CSP_ID", Never;
    /// Ciphertext hiding is not as required.
    SnpCth = "SNP_CTH", Never;
    /// The guest policy allows CXL memory.
    SnpCxl = "SNP_CXL", Never;
    /// The guest may be debugged by the host.
    SnpDebug = "SNP_DEBUG", Never;
    /// `HOST_DATA` is neither zero nor the expected value.
    SnpHostData = "SNP_HOST_DATA", Never;
    /// The ID block is not the expected one.
    SnpIdblock = "SNP_IDBLOCK", Never;
    /// `FAMILY_ID` or `IMAGE_ID` is not the expected one.
    SnpImageId = "SNP_IMAGE_ID", Never;
    /// The IOMMU write mitigation is not as required.
    SnpIommu = "SNP_IOMMU", Never;
    /// The report is unsigned because the chip key is masked.
    SnpMasked = "SNP_MASKED", Never;
    /// The guest may be migrated.
    SnpMigrate = "SNP_MIGRATE", Never;
    /// A required mitigation is missing from the launch or current vector.
    SnpMitigation = "SNP_MITIGATION", Never;
    /// Page swapping is not disabled as required.
    SnpPageSwap = "SNP_PAGE_SWAP", Never;
    /// TSME, ECC or TIO is not as required.
    SnpPlatform = "SNP_PLATFORM", Never;
    /// A platform bit this verifier does not know is set.
    SnpPlatformUnknown = "SNP_PLATFORM_UNKNOWN", Never;
    /// Reserved bits of the guest policy are wrong.
    SnpPolicyReserved = "SNP_POLICY_RESERVED", Never;
    /// The processor line is denied.
    SnpProductDenied = "SNP_PRODUCT_DENIED", Never;
    /// Report, certificate and root do not name the same product.
    SnpProductMismatch = "SNP_PRODUCT_MISMATCH", Never;
    /// Provisional firmware is running: committed differs from current.
    SnpProvisional = "SNP_PROVISIONAL", RetryLater;
    /// RAPL is not disabled as required.
    SnpRapl = "SNP_RAPL", Never;
    /// A reserved range of the report is not zero.
    SnpReserved = "SNP_RESERVED", Never;
    /// A certificate of the chain is revoked.
    SnpRevoked = "SNP_REVOKED", Never;
    /// The report's signature is malformed or does not verify.
    SnpSignature = "SNP_SIGNATURE", Never;
    /// The report is signed by another kind of key than the policy asks for.
    SnpSigningKey = "SNP_SIGNING_KEY", Never;
    /// The guest runs on more than one socket.
    SnpSingleSocket = "SNP_SINGLE_SOCKET", Never;
    /// Simultaneous multithreading is not as required.
    SnpSmt = "SNP_SMT", Never;
    /// `GUEST_SVN` is below the release's.
    SnpSvn = "SNP_SVN", Never;
    /// A TCB component is below its floor.
    SnpTcbFloor = "SNP_TCB_FLOOR", RetryLater;
    /// The TCB versions of the report contradict each other.
    SnpTcbOrder = "SNP_TCB_ORDER", Never;
    /// The endorsement key's certificate did not come with the evidence: nothing can be decided.
    SnpVekMissing = "SNP_VEK_MISSING", RefreshEvidence;
    /// The certificate's TCB is not the reported one.
    SnpVekTcb = "SNP_VEK_TCB", RefreshEvidence;
    /// The report's version is not accepted.
    SnpVersion = "SNP_VERSION", Never;
    /// The report was asked for at another privilege level.
    SnpVmpl = "SNP_VMPL", Never;
    /// Memory encryption is not AES-256-XTS as required.
    SnpXts = "SNP_XTS", Never;
    /// An advisory of Intel's applies that is not on the allow-list.
    TdxAdvisory = "TDX_ADVISORY", RetryLater;
    /// An attribute of the TD is not as required, or reserved and set.
    TdxAttributes = "TDX_ATTRIBUTES", Never;
    /// A certificate of the chain does not parse, does not verify or is outside its dates.
    TdxChain = "TDX_CHAIN", RefreshEvidence;
    /// The collateral does not parse or is not signed by Intel.
    TdxCollateral = "TDX_COLLATERAL", RefreshEvidence;
    /// No collateral came with the evidence: nothing can be decided.
    TdxCollateralMissing = "TDX_COLLATERAL_MISSING", RefreshEvidence;
    /// The collateral is of an earlier evaluation than was seen before, or than the floor.
    TdxCollateralRollback = "TDX_COLLATERAL_ROLLBACK", RefreshEvidence;
    /// The collateral is outside its dates, or older than the policy takes.
    TdxCollateralStale = "TDX_COLLATERAL_STALE", RefreshEvidence;
    /// `MRCONFIGID`, `MROWNER` or `MROWNERCONFIG` is neither zero nor the expected value.
    TdxConfigId = "TDX_CONFIG_ID", Never;
    /// A revocation list is missing or not signed by its issuer.
    TdxCrlMissing = "TDX_CRL_MISSING", RefreshEvidence;
    /// The host may debug or profile the TD.
    TdxDebug = "TDX_DEBUG", Never;
    /// The event log does not replay to the quote's registers.
    TdxEventLog = "TDX_EVENT_LOG", Never;
    /// The header is not one of a TDX quote this verifier knows.
    TdxHeader = "TDX_HEADER", Never;
    /// The second verifier does not confirm what the first one found.
    TdxLibrary = "TDX_LIBRARY", Never;
    /// `MRTD` or an `RTMR` is not on the allow-list.
    TdxMeasurement = "TDX_MEASUREMENT", Never;
    /// The TD may be migrated.
    TdxMigratable = "TDX_MIGRATABLE", Never;
    /// The TDX module is not one that Intel signed, the collateral knows and the policy takes.
    TdxModule = "TDX_MODULE", Never;
    /// Bytes after the quote are not zero.
    TdxPadding = "TDX_PADDING", Never;
    /// The quoting enclave is not Intel's, not signed by the platform, or not bound to the attestation key.
    TdxQe = "TDX_QE", Never;
    /// A certificate of the chain is revoked.
    TdxRevoked = "TDX_REVOKED", Never;
    /// `RTMR3` is neither zero nor explained by the expected events.
    TdxRtmr3 = "TDX_RTMR3", Never;
    /// A service TD is bound to the TD.
    TdxServiceTd = "TDX_SERVICE_TD", Never;
    /// The quote's signature does not verify.
    TdxSignature = "TDX_SIGNATURE", Never;
    /// The TCB status is not acceptable.
    TdxTcbStatus = "TDX_TCB_STATUS", RetryLater;
    /// The TCB info is of another platform family, certification enclave or kind of TEE.
    TdxTcbinfoMismatch = "TDX_TCBINFO_MISMATCH", RefreshEvidence;
    /// `XFAM` is not the expected value.
    TdxXfam = "TDX_XFAM", Never;
}

impl Code {
    /// Whether material that only others can supply was missing or unusable: nothing can be decided, and nothing
    /// says that the evidence is forged.
    pub const fn undecidable(self) -> bool {
        matches!(
            self,
            Self::SnpCrlMissing | Self::SnpVekMissing | Self::TdxCollateralMissing | Self::TdxCrlMissing
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The negative answer. Holds facts only: numbers, digests and names from fixed sets, never secrets or content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable reason.
    pub code: Code,
    /// Which field of which part, for example `cpu.report.vmpl`.
    pub field: &'static str,
    /// What would have been accepted.
    pub expected: String,
    /// What was there.
    pub found: String,
}

impl Rejection {
    /// A rejection of `field` with what was expected and found.
    pub fn new(
        code: Code,
        field: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { code, field, expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, field, expected, found } = self;
        write!(f, "{code}: {field}: expected {expected}, found {found}")
    }
}

impl std::error::Error for Rejection {}

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It held.
    Pass,
    /// It did not hold: the evidence is rejected.
    Fail,
    /// An earlier check failed, so this one was not made. Never counts as a pass.
    NotReached,
}

impl Outcome {
    /// `pass`, `fail` or `not_reached`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotReached => "not_reached",
        }
    }
}

/// One line of the argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name of the check, for example `snp.vmpl`.
    pub id: &'static str,
    /// The code with which it rejects.
    pub code: Code,
    /// What the policy asks for (empty when not reached).
    pub expected: String,
    /// What the evidence says (empty when not reached).
    pub found: String,
    /// How it ended.
    pub outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_upper_snake() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(
                text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
                "{text}"
            );
        }
    }

    #[test]
    fn a_rejection_says_what_was_expected_and_found() {
        let rejection = Rejection::new(Code::SnpVmpl, "cpu.report.vmpl", "0", "3");
        assert_eq!(rejection.to_string(), "SNP_VMPL: cpu.report.vmpl: expected 0, found 3");
    }
}
