//! From a query to a URL and a cache key. Every part comes from a fixed word or a hexadecimal number.

use std::fmt::Write;

use hyper::Uri;
use link::{AmdProduct, EndorsementQuery, IntelCa};

use crate::config;

/// Base URLs, checked.
#[derive(Debug)]
pub(super) struct Vendors {
    amd_kds: String,
    intel_pcs: String,
    intel_certificates: String,
}

/// Where one document is, and how to treat it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// Fixed word for the log.
    pub(super) kind: &'static str,
    /// File name in the cache.
    pub(super) key: String,
    pub(super) url: String,
    /// Response header that carries the issuer chain.
    pub(super) chain_header: Option<&'static str>,
    /// A chip's certificate never changes.
    pub(super) immutable: bool,
}

impl Vendors {
    /// Fails with the name of the field that is no base URL.
    pub(super) fn new(config: &config::Endorsements) -> Result<Self, &'static str> {
        Ok(Self {
            amd_kds: base(&config.amd_kds).ok_or("endorsements.amd_kds")?,
            intel_pcs: base(&config.intel_pcs).ok_or("endorsements.intel_pcs")?,
            intel_certificates: base(&config.intel_certificates).ok_or("endorsements.intel_certificates")?,
        })
    }

    /// AMD: "Versioned Chip Endorsement Key Certificate and KDS Interface Specification", 57230 s4. Intel:
    /// "Provisioning Certification Service" API v4.
    pub(super) fn locate(&self, query: &EndorsementQuery) -> Location {
        let amd = &self.amd_kds;
        let intel = &self.intel_pcs;
        match query {
            EndorsementQuery::AmdVcek { product, chip_id, tcb } => {
                let (name, chip) = (product_name(*product), hex(chip_id.as_bytes()));
                Location {
                    kind: "amd_vcek",
                    key: format!("amd-vcek-{name}-{chip}-{}", hex(tcb)),
                    url: format!("{amd}/vcek/v1/{name}/{chip}?{}", tcb_query(*product, *tcb)),
                    chain_header: None,
                    immutable: true,
                }
            }
            EndorsementQuery::AmdChain { product } => amd_list("amd_chain", amd, *product, "cert_chain"),
            EndorsementQuery::AmdCrl { product } => amd_list("amd_crl", amd, *product, "crl"),
            EndorsementQuery::IntelTcbInfo { fmspc } => Location {
                kind: "intel_tcb_info",
                key: format!("intel-tcb-info-{}", hex(fmspc)),
                url: format!("{intel}/tdx/certification/v4/tcb?fmspc={}", hex(fmspc)),
                chain_header: Some("tcb-info-issuer-chain"),
                immutable: false,
            },
            EndorsementQuery::IntelQeIdentity => Location {
                kind: "intel_qe_identity",
                key: "intel-qe-identity".to_owned(),
                url: format!("{intel}/tdx/certification/v4/qe/identity"),
                chain_header: Some("sgx-enclave-identity-issuer-chain"),
                immutable: false,
            },
            EndorsementQuery::IntelPckCrl { ca } => {
                let ca = match ca {
                    IntelCa::Platform => "platform",
                    IntelCa::Processor => "processor",
                };
                Location {
                    kind: "intel_pck_crl",
                    key: format!("intel-pck-crl-{ca}"),
                    url: format!("{intel}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"),
                    chain_header: Some("sgx-pck-crl-issuer-chain"),
                    immutable: false,
                }
            }
            EndorsementQuery::IntelRootCrl => Location {
                kind: "intel_root_crl",
                key: "intel-root-crl".to_owned(),
                url: format!("{}/IntelSGXRootCA.der", self.intel_certificates),
                chain_header: None,
                immutable: false,
            },
        }
    }
}

fn amd_list(kind: &'static str, base: &str, product: AmdProduct, what: &str) -> Location {
    let name = product_name(product);
    Location {
        kind,
        key: format!("amd-{}-{name}", what.replace('_', "-")),
        url: format!("{base}/vcek/v1/{name}/{what}"),
        chain_header: None,
        immutable: false,
    }
}

fn product_name(product: AmdProduct) -> &'static str {
    match product {
        AmdProduct::Milan => "Milan",
        AmdProduct::Genoa => "Genoa",
        AmdProduct::Turin => "Turin",
    }
}

/// `TCB_VERSION` as the service wants it: one two-digit decimal per component (AMD 56860 table 3 for the
/// bytes; Turin puts FMC first and moves SNP).
fn tcb_query(product: AmdProduct, tcb: [u8; 8]) -> String {
    match product {
        AmdProduct::Milan | AmdProduct::Genoa => {
            let [bl, tee, _, _, _, _, snp, ucode] = tcb;
            format!("blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}")
        }
        AmdProduct::Turin => {
            let [fmc, bl, tee, snp, _, _, _, ucode] = tcb;
            format!("fmcSPL={fmc:02}&blSPL={bl:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={ucode:02}")
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// A base URL without its trailing slash: http or https, a host, no query.
fn base(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none();
    (plain && !uri.authority()?.as_str().contains('@')).then(|| url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use link::ChipId;

    use super::*;

    fn vendors() -> Vendors {
        let text = "cache = \"/c\"\namd_kds = \"https://kds.example/m/\"";
        Vendors::new(&toml::from_str(text).unwrap()).unwrap()
    }

    fn url(query: EndorsementQuery) -> String {
        vendors().locate(&query).url
    }

    #[test]
    fn urls_are_those_of_the_vendors() {
        let tcb = [1, 2, 3, 4, 5, 6, 7, 215];
        let long =
            EndorsementQuery::AmdVcek { product: AmdProduct::Genoa, chip_id: ChipId::Long([0xAB; 64]), tcb };
        assert_eq!(
            url(long),
            format!(
                "https://kds.example/m/vcek/v1/Genoa/{}?blSPL=01&teeSPL=02&snpSPL=07&ucodeSPL=215",
                "ab".repeat(64)
            )
        );
        let short =
            EndorsementQuery::AmdVcek { product: AmdProduct::Turin, chip_id: ChipId::Short([0x0C; 8]), tcb };
        assert_eq!(
            url(short),
            "https://kds.example/m/vcek/v1/Turin/0c0c0c0c0c0c0c0c?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=215"
        );
        let milan = AmdProduct::Milan;
        assert_eq!(
            url(EndorsementQuery::AmdChain { product: milan }),
            "https://kds.example/m/vcek/v1/Milan/cert_chain"
        );
        assert_eq!(
            url(EndorsementQuery::AmdCrl { product: milan }),
            "https://kds.example/m/vcek/v1/Milan/crl"
        );
        let intel = "https://api.trustedservices.intel.com";
        assert_eq!(
            url(EndorsementQuery::IntelTcbInfo { fmspc: [0, 0x90, 0x6E, 0xD5, 0, 0] }),
            format!("{intel}/tdx/certification/v4/tcb?fmspc=00906ed50000")
        );
        assert_eq!(
            url(EndorsementQuery::IntelQeIdentity),
            format!("{intel}/tdx/certification/v4/qe/identity")
        );
        assert_eq!(
            url(EndorsementQuery::IntelPckCrl { ca: IntelCa::Platform }),
            format!("{intel}/sgx/certification/v4/pckcrl?ca=platform&encoding=der")
        );
        assert_eq!(
            url(EndorsementQuery::IntelRootCrl),
            "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
        );
    }

    #[test]
    fn cache_keys_are_plain_file_names_and_differ() {
        let crl = |product| vendors().locate(&EndorsementQuery::AmdCrl { product }).key;
        assert_eq!(crl(AmdProduct::Genoa), "amd-crl-Genoa");
        assert_ne!(crl(AmdProduct::Genoa), crl(AmdProduct::Turin));
        let chain = vendors().locate(&EndorsementQuery::AmdChain { product: AmdProduct::Genoa }).key;
        assert_eq!(chain, "amd-cert-chain-Genoa");
    }

    #[test]
    fn a_base_url_is_checked() {
        for bad in ["", "kds", "ftp://a", "https://", "https://a/?q", "https://user@a", "https:// a"] {
            assert_eq!(base(bad), None, "{bad}");
        }
        assert_eq!(base("http://127.0.0.1:8/x/"), Some("http://127.0.0.1:8/x".to_owned()));
    }
}
