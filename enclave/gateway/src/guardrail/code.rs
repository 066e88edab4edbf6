//! Objects to program code: fenced blocks, and lines of which most look like statements.

use super::{Detector, GuardrailKind, Hook, Judge, Settings, Subject};

/// The registered kind.
pub const KIND: CodeKind = CodeKind;

/// Least lines that look like code.
const MIN_LINES: usize = 3;
/// Beginnings of lines that only programs have.
const BEGINNINGS: &[&str] = &[
    "#include",
    "#!/",
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "class ",
    "const ",
    "def ",
    "elif ",
    "else:",
    "export ",
    "fn ",
    "for (",
    "for(",
    "from ",
    "func ",
    "function ",
    "if (",
    "if(",
    "impl ",
    "import ",
    "interface ",
    "let ",
    "namespace ",
    "package ",
    "private ",
    "public ",
    "pub ",
    "return ",
    "static ",
    "struct ",
    "template<",
    "try:",
    "use ",
    "using ",
    "var ",
    "while (",
    "while(",
    "}",
];

/// Makes checks for code.
pub struct CodeKind;

impl GuardrailKind for CodeKind {
    fn name(&self) -> &'static str {
        "code"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hooks(&self) -> &'static [Hook] {
        &[Hook::Output]
    }

    fn configure(&self, _: &Settings) -> Result<Detector, &'static str> {
        Ok(Detector::Judge(Box::new(Code)))
    }
}

struct Code;

impl Judge for Code {
    fn objects(&self, subject: &Subject<'_>) -> bool {
        subject.texts().any(|text| text.contains("```") || is_code(text))
    }
}

fn is_code(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let statement = |line: &&&str| {
        let ends = line.ends_with(['{', ';', '}'])
            || line.ends_with("):")
            || line.contains("=>")
            || line.contains("();");
        let begins = BEGINNINGS.iter().any(|own| line.starts_with(own))
            && line.contains(['(', '=', '{', ';', ':', '*', '<']);
        ends || begins
    };
    let statements = lines.iter().filter(statement).count();
    statements >= MIN_LINES && statements.saturating_mul(2) > lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_prose() {
        assert!(is_code("fn main() {\n  let x = 1;\n  print(x);\n}"));
        assert!(is_code("import os\ndef f(x):\n    return (x)\nfor (i) {\n"));
        assert!(!is_code(
            "Let me explain; it is simple.\nUse the door.\nReturn on Monday.\nFor (most) people it works."
        ));
    }
}
