//! How much one appraisal may cost. Hostile evidence is bounded by what it may make us do, not only by its size.

use crate::rejection::{Code, Rejection};

/// Work left for one appraisal. Every parser and every signature check takes its part first.
#[derive(Clone, Debug)]
pub struct WorkLimit {
    certificates: u32,
    signatures: u32,
}

impl WorkLimit {
    /// Certificates and revocation lists one appraisal may parse.
    pub const CERTIFICATES: u32 = 16;
    /// Signatures one appraisal may verify.
    pub const SIGNATURES: u32 = 16;

    /// A full allowance.
    pub const fn new() -> Self {
        Self { certificates: Self::CERTIFICATES, signatures: Self::SIGNATURES }
    }

    /// Takes the cost of parsing one certificate or revocation list.
    ///
    /// # Errors
    /// `ATT_WORK_LIMIT` when nothing is left.
    pub fn certificate(&mut self) -> Result<(), Rejection> {
        self.certificates = take(self.certificates, "endorsements", Self::CERTIFICATES)?;
        Ok(())
    }

    /// Takes the cost of verifying one signature.
    ///
    /// # Errors
    /// `ATT_WORK_LIMIT` when nothing is left.
    pub fn signature(&mut self) -> Result<(), Rejection> {
        self.signatures = take(self.signatures, "signatures", Self::SIGNATURES)?;
        Ok(())
    }
}

impl Default for WorkLimit {
    fn default() -> Self {
        Self::new()
    }
}

fn take(left: u32, field: &'static str, limit: u32) -> Result<u32, Rejection> {
    left.checked_sub(1).ok_or_else(|| {
        Rejection::new(Code::AttWorkLimit, field, format!("at most {limit}"), format!("more than {limit}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_exactly_at_the_limit() {
        let mut limit = WorkLimit::new();
        for _ in 0..WorkLimit::SIGNATURES {
            assert_eq!(limit.signature(), Ok(()));
        }
        assert_eq!(limit.signature().expect_err("limit").code, Code::AttWorkLimit);
        assert_eq!(limit.certificate(), Ok(()));
    }
}
