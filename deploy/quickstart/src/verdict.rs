//! What `postern verify` printed, in fewer lines: a check that passed takes one line instead of three.

/// Most characters of what a check found.
const WIDTH: usize = 64;

/// The lines to show. What does not have the form of a passed check stays as it is.
pub(crate) fn shorten(printed: &str) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        let passed = shown.last_mut().filter(|last| last.starts_with(PASSED));
        match (words.next(), passed) {
            (Some("pass"), _) => shown.push(format!("{PASSED}{:<34}", words.collect::<Vec<_>>().join(" "))),
            (Some("expected"), Some(_)) => {}
            (Some("found"), Some(check)) => {
                check.push(' ');
                check.push_str(&cut(&words.collect::<Vec<_>>().join(" ")));
            }
            _ => shown.push(line.to_owned()),
        }
    }
    shown
}

/// How the line of a passed check begins.
const PASSED: &str = "  pass  ";

/// The beginning of a long text.
fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn passed_checks_take_one_line_and_nothing_else_changes() {
        let long = "ab".repeat(40);
        let printed = format!(
            "VERIFIED (SIMULATED)  https://x\n  platform    snp\n\n  pass        nonce\n              expected 1\n              \
             found    {long}\n  fail        debug\n              expected 0\n              found    1\n"
        );
        let shown = shorten(&printed);
        assert_eq!(shown[..3], ["VERIFIED (SIMULATED)  https://x", "  platform    snp", ""]);
        assert_eq!(shown[3], format!("  pass  {:<34} {}…", "nonce", &long[..64]));
        assert_eq!(
            shown[4..],
            ["  fail        debug", "              expected 0", "              found    1"]
        );
    }
}
