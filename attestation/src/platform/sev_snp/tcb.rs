//! TCB versions: one 64-bit field, two layouts. Which one holds follows from the signed product, never from a guess.

use crate::claims::snp::{Product, TcbVersion};

/// Decodes a TCB version; none when a reserved byte is set.
///
/// Milan and Genoa: bootloader, TEE, four reserved, SNP, microcode.
/// Turin: FMC, bootloader, TEE, SNP, three reserved, microcode (AMD 57230, table `TCB_VERSION`).
pub(crate) const fn decode(product: Product, raw: [u8; 8]) -> Option<TcbVersion> {
    match (product, raw) {
        (Product::Genoa | Product::Milan, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
            Some(TcbVersion { fmc: None, bootloader, tee, snp, microcode })
        }
        (Product::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => {
            Some(TcbVersion { fmc: Some(fmc), bootloader, tee, snp, microcode })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_mean_different_levels() {
        let raw = [1, 2, 0, 0, 0, 0, 0, 0x51];
        let genoa = decode(Product::Genoa, raw).expect("genoa layout");
        let turin = decode(Product::Turin, raw).expect("turin layout");
        assert_eq!((genoa.fmc, genoa.bootloader, genoa.tee, genoa.snp), (None, 1, 2, 0));
        assert_eq!((turin.fmc, turin.bootloader, turin.tee, turin.snp), (Some(1), 2, 0, 0));
        assert_eq!(
            decode(Product::Genoa, [0, 0, 0, 4, 0, 0, 0, 0]),
            None,
            "Turin's SNP level is reserved on Genoa"
        );
        assert_eq!(
            decode(Product::Turin, [0, 0, 0, 0, 0, 0, 0x1b, 0]),
            None,
            "Genoa's SNP level is reserved on Turin"
        );
    }
}
