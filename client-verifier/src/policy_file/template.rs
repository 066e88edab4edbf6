//! The commented file that `postern policy init` writes. It never guesses: what it was not told stands there as a
//! placeholder that no policy loads with.

use std::path::PathBuf;

use attestation::{HardwareId, Measurement, Sha256, TeeType};

/// A text that begins so is refused with `POL_PLACEHOLDER`.
pub const PLACEHOLDER: &str = "FILL-IN";

/// One `[[NAME]]` of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, for example `azure`.
    pub name: &'static str,
    /// Keys in order; without a value, a placeholder stands there.
    pub keys: Vec<(&'static str, Option<String>)>,
}

impl Table {
    fn render(&self) -> String {
        let line = |(key, value): &(&str, Option<String>)| {
            let open = || format!("{PLACEHOLDER}: recorded on a machine that you trust");
            format!("{key} = {}\n", quoted(&value.clone().unwrap_or_else(open)))
        };
        format!("\n[[{}]]\n{}", self.name, self.keys.iter().map(line).collect::<String>())
    }
}

/// What is known when the file is written.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Kind of machine; SEV-SNP when absent.
    pub tee: Option<TeeType>,
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
    /// Tables at the end: reference values of machines other than SEV-SNP.
    pub tables: Vec<Table>,
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
        let tee = self.tee.unwrap_or(TeeType::Snp);
        // Elsewhere what names a release is in tables, and the list has nothing to name.
        let measurements = if tee == TeeType::Snp || !measurements.is_empty() {
            list(&measurements, "the release's launch measurement (96 hexadecimal digits)")
        } else {
            "[]".to_owned()
        };
        let text = TEXT
            .replace("@TEE@", &quoted(tee.as_str()))
            .replace("@CONFIGURATION@", &configuration)
            .replace("@MEASUREMENTS@", &measurements)
            .replace("@HARDWARE@", &list(&hardware, "the processor's id (16 to 128 hexadecimal digits)"))
            .replace("@DEPLOYMENT@", &quoted(&deployment))
            .replace(
                "@ROOTS@",
                &format!("[{}]", roots.iter().map(|root| quoted(root)).collect::<Vec<_>>().join(", ")),
            )
            .replace("@FLOORS@", &quoted(&floors))
            .replace("@WEBPKI@", &quoted(&webpki));
        let comment = |line: &String| format!("# {}\n", line.replace(char::is_control, " "));
        let tables = self.tables.iter().map(Table::render).collect();
        [text, tables, self.appendix.iter().map(comment).collect()].concat()
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
