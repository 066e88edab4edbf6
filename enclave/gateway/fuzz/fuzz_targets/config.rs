//! Any text is a configuration or a clear error; what is accepted can be built or is refused with a path.
#![no_main]

use gateway::Secret;
use gateway::config::{GatewayConfig, SecretError, SecretReference, SecretSource, build, parse};
use libfuzzer_sys::fuzz_target;

struct Secrets;

impl SecretSource for Secrets {
    fn read(&self, _: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        Ok(Secret::new(b"secret".to_vec()))
    }
}

fuzz_target!(|text: &str| {
    match parse::<GatewayConfig>(text).and_then(|config| build(&config, &Secrets)) {
        Ok(gateway) => assert!(gateway.public_config().is_object()),
        Err(error) => assert!(error.code().starts_with("CONFIG_")),
    }
});
