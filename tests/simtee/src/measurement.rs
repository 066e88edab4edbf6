//! The launch measurement of the simulated machine.

use aws_lc_rs::digest::{Context, SHA384, digest};

/// SHA-384 over a label and the digests of the measured files in order, each with its length before it:
/// `"postern simulated launch" 0x00 LP(SHA-384(file1)) LP(SHA-384(file2)) ...`, LP being a 4-byte
/// big-endian length followed by the bytes.
///
/// A real machine measures its memory pages; this stands in for that, so that another program gives
/// another measurement.
pub fn measure<T: AsRef<[u8]>>(files: &[T]) -> [u8; 48] {
    let mut context = Context::new(&SHA384);
    context.update(b"postern simulated launch\0");
    for file in files {
        let part = digest(&SHA384, file.as_ref());
        context.update(&(part.as_ref().len() as u32).to_be_bytes());
        context.update(part.as_ref());
    }
    let mut measurement = [0; 48];
    measurement.copy_from_slice(context.finish().as_ref());
    measurement
}

#[cfg(test)]
mod tests {
    use super::measure;

    #[test]
    fn content_order_and_boundaries_count() {
        let one = measure(&[b"ab".as_slice(), b"c"]);
        assert_ne!(one, measure(&[b"a".as_slice(), b"bc"]));
        assert_ne!(one, measure(&[b"c".as_slice(), b"ab"]));
        assert_ne!(one, measure(&[b"abc"]));
        assert_eq!(one, measure(&[b"ab".as_slice(), b"c"]));
    }

    #[test]
    fn matches_a_value_computed_with_another_tool() {
        // printf 'postern simulated launch\0\0\0\0\x30' and the raw `sha384sum` of "hello", through `sha384sum`.
        assert_eq!(
            hex::encode(measure(&[b"hello"])),
            "54842e3806c7fc0abb46162cdf33868f37d5358c7fa3cb064a671f6e7e969fc822096806882dc2e36d0fe6ea1720d6bb"
        );
    }
}
