//! Policies for enclaves under test, as `postern policy init` writes them.

use std::path::{Path, PathBuf};

use attestation::{HardwareId, Measurement};
use postern_client::policy_file::{self, Template};
use postern_client::{ClientPolicy, Target, Verifier};

use crate::enclave::{Enclave, NAME};
use crate::security_processor::{SecurityProcessor, floors_file, measurement, root_file};

/// The template of a policy that accepts this processor and the test measurement.
pub fn template(processor: &SecurityProcessor, folder: &Path) -> Template {
    Template {
        measurements: vec![Measurement::try_from(measurement().as_slice()).expect("48 bytes")],
        hardware: vec![HardwareId::try_from(processor.chip_id.as_slice()).expect("8 to 64 bytes")],
        deployment: Some("unpinned".to_owned()),
        simulated_roots: vec![root_file(folder)],
        webpki: Some("not-required".to_owned()),
        floors: Some(floors_file(folder)),
        ..Template::default()
    }
}

/// Writes the policy for an enclave into its folder.
pub fn write(enclave: &Enclave) -> PathBuf {
    let path = enclave.folder().join("policy.toml");
    let text = template(&enclave.processor, enclave.folder()).render();
    std::fs::write(&path, text).expect("the folder can be written to");
    path
}

/// The policy for an enclave.
pub fn of(enclave: &Enclave) -> ClientPolicy {
    of_processor(&enclave.processor, enclave.folder())
}

/// The policy for whatever runs on this processor.
pub fn of_processor(processor: &SecurityProcessor, folder: &Path) -> ClientPolicy {
    policy_file::parse(&template(processor, folder).render(), folder).expect("the template is a policy")
}

/// A verifier under `policy` that dials `address` in the name of the enclave.
pub fn verifier(address: std::net::SocketAddr, policy: ClientPolicy) -> Verifier {
    Verifier::new(target(address), policy).expect("the settings fit")
}

/// The same for an operator.
pub fn provisioning_verifier(address: std::net::SocketAddr, policy: ClientPolicy) -> Verifier {
    Verifier::for_provisioning(target(address), policy).expect("the settings fit")
}

fn target(address: std::net::SocketAddr) -> Target {
    Target::parse(&format!("https://{NAME}")).expect("a good URL").with_connect(&address.to_string())
}
