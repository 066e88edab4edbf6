//! The simulated vendor's firmware floors: what a policy for a simulated machine names as `floors`.
//!
//! Real floors are dated and expire. A simulation that used them would stop working on the day they do, so the
//! simulated vendor publishes its own, dated from the moment it is asked, over the same kind of machines.

use crate::der::civil_date;
use crate::product::{Product, Tcb, TcbLayout};

/// Days a floors file is good for, as the real one.
const VALID_DAYS: u64 = 45;

/// A floors document (`postern.snp-tcb-floors/1`) issued at `unix` seconds: each product at exactly the level that
/// [`Product::current_tcb`] has, Milan denied as in the real one.
pub fn document(unix: u64) -> String {
    let lines = [Product::Milan, Product::Genoa, Product::Siena, Product::Turin].map(line);
    serde_json::json!({
        "format": "postern.snp-tcb-floors/1",
        "version": 1,
        "issued_at": midnight(unix / 86_400),
        "valid_until": midnight(unix / 86_400 + VALID_DAYS),
        "notes": ["SIMULATED: floors of a simulated vendor, true of no real machine."],
        "lines": lines,
    })
    .to_string()
}

fn line(product: Product) -> serde_json::Value {
    let [family, model, stepping] = product.cpuid();
    let Tcb { fmc, bootloader, tee, snp, microcode } = product.current_tcb();
    let fmc = (product.tcb_layout() == TcbLayout::Turin).then_some(fmc);
    let denied = (product == Product::Milan)
        .then_some("the root seed of every Milan chip can be extracted by software");
    serde_json::json!({
        "name": product.key(),
        "family": format!("0x{family:02x}"),
        "models": [format!("0x{model:02x}"), format!("0x{model:02x}")],
        "stepping": stepping,
        "tcb": { "fmc": fmc, "bootloader": bootloader, "tee": tee, "snp": snp, "microcode": microcode },
        "firmware": [1, 55, 0],
        "mitigation_bits": [],
        "denied": denied,
        "sources": ["simulated"],
    })
}

fn midnight(days: u64) -> String {
    let (year, month, day) = civil_date(days);
    format!("{year:04}-{month:02}-{day:02}T00:00:00Z")
}
