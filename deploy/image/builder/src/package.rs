//! Files out of Debian packages: an `ar` archive with a compressed `tar` archive (`deb(5)`).

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::failure::Failure;

/// The files whose paths `wanted` accepts, by path without the leading `./`.
///
/// # Errors
/// [`Failure`] where this is no package of that format.
pub fn files(package: &[u8], wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let data = member(package, "data.tar.xz")
        .ok_or_else(|| Failure::new("not a Debian package with data.tar.xz"))?;
    let broken = |error: std::io::Error| Failure::new(format!("a package does not unpack: {error}"));
    let mut archive = tar::Archive::new(lzma_rust2::XzReader::new(data, true));
    let mut found = BTreeMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().trim_start_matches("./").to_owned();
        if entry.header().entry_type().is_file() && wanted(&path) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(broken)?;
            found.insert(path, content);
        }
    }
    Ok(found)
}

/// Decompresses one `.xz` file.
///
/// # Errors
/// [`Failure`].
pub fn decompressed(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    lzma_rust2::XzReader::new(bytes, true)
        .read_to_end(&mut content)
        .map_err(|error| Failure::new(format!("a module does not unpack: {error}")))?;
    Ok(content)
}

fn member<'a>(package: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = package.strip_prefix(b"!<arch>\n")?;
    while rest.len() >= 60 {
        let (header, content) = rest.split_at(60);
        let size: usize = std::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let own = std::str::from_utf8(&header[..16]).ok()?.trim().trim_end_matches('/');
        if own == name {
            return content.get(..size);
        }
        rest = content.get(size.next_multiple_of(2)..)?;
    }
    None
}
