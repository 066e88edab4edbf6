//! Authenticated claims as JSON. `sources` says for every one of them whose word it is: the hardware's, the vendor's
//! (certificates and collateral), the paravisor's, or this verifier's.

use attestation::claims::{Anchor, HardwareClaims, PlatformClaims};
use attestation::{HardwareId, UnixTime};
use serde_json::{Map, Value, json};

use super::material::Material;

mod paravisor;
mod snp;
mod tdx;

/// Whose word a claim is.
#[derive(Clone, Copy)]
enum Source {
    /// In the part of the evidence that the hardware signed.
    Hardware,
    /// Stated by the paravisor, which the hardware measured.
    Paravisor,
    /// In a certificate or in collateral that the vendor signed.
    Vendor,
    /// Derived here.
    Verifier,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Paravisor => "paravisor",
            Self::Vendor => "vendor",
            Self::Verifier => "verifier",
        }
    }
}

/// Claims on their way.
#[derive(Default)]
struct Claims {
    values: Map<String, Value>,
    sources: Map<String, Value>,
}

impl Claims {
    fn add(&mut self, source: Source, name: &str, value: impl Into<Value>) -> &mut Self {
        self.values.insert(name.to_owned(), value.into());
        self.sources.insert(name.to_owned(), source.as_str().into());
        self
    }

    fn finish(mut self) -> Map<String, Value> {
        self.values.insert("sources".to_owned(), Value::Object(self.sources));
        self.values
    }
}

/// Everything that `hardware` states.
pub(super) fn of(
    hardware: &HardwareClaims,
    material: &Material,
    expires_at: Option<UnixTime>,
) -> Map<String, Value> {
    let mut claims = Claims::default();
    let anchor = match hardware.anchor {
        Anchor::Vendor => "vendor",
        Anchor::Simulated => "named in the request",
    };
    claims
        .add(Source::Verifier, "tee", hardware.tee.as_str())
        .add(Source::Verifier, "trust_anchor", anchor)
        .add(Source::Verifier, "endorsements_valid_until", hardware.not_after.to_string())
        .add(Source::Hardware, "measurement", hardware.measurement.to_hex())
        .add(Source::Hardware, "report_data", hardware.report_data.to_hex())
        .add(Source::Hardware, "hardware_id", hardware.hardware_id.as_ref().map(HardwareId::to_hex))
        .add(Source::Verifier, "not_excluded", json!(["physical attacks on the machine"]));
    if let Some(expires_at) = expires_at {
        claims.add(Source::Verifier, "expires_at", expires_at.to_string());
    }
    let Some(paravisor) = &hardware.paravisor else {
        platform(&hardware.platform, material, &mut claims);
        return claims.finish();
    };
    paravisor::add(paravisor, &mut claims);
    let mut below = Claims::default();
    platform(&hardware.platform, material, &mut below);
    let name = match &hardware.platform {
        PlatformClaims::Tdx(_) => "tdx",
        PlatformClaims::Snp(_) | _ => "snp",
    };
    claims.add(Source::Hardware, name, below.finish());
    claims.finish()
}

fn platform(platform: &PlatformClaims, material: &Material, claims: &mut Claims) {
    match platform {
        PlatformClaims::Snp(own) => snp::add(own, material, claims),
        PlatformClaims::Tdx(own) => tdx::add(own, material, claims),
        // a kind of hardware that this program does not know yet is reported by what every kind has
        _ => {}
    }
}
