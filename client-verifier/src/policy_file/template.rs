//! The commented file that `postern policy init` writes. It never guesses: what it was not told stands there as a
//! placeholder that no policy loads with.

use std::path::PathBuf;

use attestation::{HardwareId, Measurement, Sha256};

/// A text that begins so is refused with `POL_PLACEHOLDER`.
pub const PLACEHOLDER: &str = "FILL-IN";

/// What is known when the file is written.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Launch measurements of acceptable releases.
    pub measurements: Vec<Measurement>,
    /// Acceptable processors.
    pub hardware: Vec<HardwareId>,
    /// SHA-256 of the deployment authority's public key as 64 hexadecimal digits, or `unpinned`.
    pub deployment: Option<String>,
    /// Root certificates (DER files) of simulated TEEs.
    pub simulated_roots: Vec<PathBuf>,
    /// `required` or `not-required`.
    pub webpki: Option<String>,
    /// File of firmware floors; those shipped with this program when absent.
    pub floors: Option<PathBuf>,
    /// SHA-256 of the enclave's configuration file, which the launch must name; a launch that names none when absent.
    pub configuration: Option<Sha256>,
    /// Lines of comment at the end: values of a release that the file has no place for yet.
    pub appendix: Vec<String>,
}

impl Template {
    /// The text of the file.
    pub fn render(&self) -> String {
        let measurements: Vec<String> = self.measurements.iter().map(Measurement::to_hex).collect();
        let hardware: Vec<String> = self.hardware.iter().map(HardwareId::to_hex).collect();
        let roots: Vec<String> = self.simulated_roots.iter().map(|path| path.display().to_string()).collect();
        let deployment = self.deployment.clone().unwrap_or_else(|| {
            format!("{PLACEHOLDER}: the deployment's id (64 hexadecimal digits), or unpinned")
        });
        let webpki = self.webpki.clone().unwrap_or_else(|| {
            format!("{PLACEHOLDER}: required for public names, not-required for names without a public certificate")
        });
        let floors =
            self.floors.as_ref().map_or_else(|| "shipped".to_owned(), |path| path.display().to_string());
        let configuration = self.configuration.as_ref().map_or_else(
            || "# configuration = \"64 hexadecimal digits\"".to_owned(),
            |hash| format!("configuration = {}", quoted(&hash.to_hex())),
        );
        let text = TEXT
            .replace("@CONFIGURATION@", &configuration)
            .replace(
                "@MEASUREMENTS@",
                &list(&measurements, "the release's launch measurement (96 hexadecimal digits)"),
            )
            .replace("@HARDWARE@", &list(&hardware, "the processor's id (16 to 128 hexadecimal digits)"))
            .replace("@DEPLOYMENT@", &quoted(&deployment))
            .replace(
                "@ROOTS@",
                &format!("[{}]", roots.iter().map(|root| quoted(root)).collect::<Vec<_>>().join(", ")),
            )
            .replace("@FLOORS@", &quoted(&floors))
            .replace("@WEBPKI@", &quoted(&webpki));
        let comment = |line: &String| format!("# {}\n", line.replace(char::is_control, " "));
        [text, self.appendix.iter().map(comment).collect()].concat()
    }
}

/// The values, or one placeholder in their place.
fn list(values: &[String], what: &str) -> String {
    if values.is_empty() {
        return format!("[{}]", quoted(&format!("{PLACEHOLDER}: {what}")));
    }
    let lines: Vec<String> = values.iter().map(|value| format!("    {},\n", quoted(value))).collect();
    format!("[\n{}]", lines.concat())
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => out.extend(format!("\\u{:04X}", u32::from(control)).chars()),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

const TEXT: &str = include_str!("template.toml");
