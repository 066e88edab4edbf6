//! AMD's certificate extensions: which chip or cloud an endorsement key belongs to, and at which TCB it was derived.

use crate::claims::snp::{Product, SigningKey, TcbVersion};
use crate::der::{Der, DerError, tag};
use crate::x509::Extension;

/// 1.3.6.1.4.1.3704.1, AMD's arc for endorsement keys (AMD 57230, table of certificate extensions).
const AMD_ARC: [u8; 8] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];

/// What the endorsement key's certificate says.
#[derive(Clone)]
pub(crate) struct Endorsed {
    /// Product name, for example `Genoa-B1`.
    pub(crate) product_name: String,
    /// TCB the key is derived from.
    pub(crate) tcb: TcbVersion,
    /// Chip identity, in a VCEK certificate.
    pub(crate) hardware_id: Option<Vec<u8>>,
    /// Cloud provider, in a VLEK certificate.
    pub(crate) csp_id: Option<String>,
}

/// The kind of key and the product that an intermediate of this name endorses.
pub(crate) fn issuer(name: &str) -> Option<(SigningKey, Product)> {
    let line = name.strip_prefix("SEV-")?;
    let (kind, line) = match line.strip_prefix("VLEK-") {
        Some(line) => (SigningKey::Vlek, line),
        None => (SigningKey::Vcek, line),
    };
    Product::ALL.into_iter().find(|product| product.as_str() == line).map(|product| (kind, product))
}

/// Reads AMD's extensions out of the certificate of a `kind` of key for `product`.
///
/// # Errors
/// One is missing, malformed, or does not belong to this product or kind of key.
pub(crate) fn read(
    extensions: &[Extension<'_>],
    product: Product,
    kind: SigningKey,
) -> Result<Endorsed, DerError> {
    let extension = |arcs: &[u8]| find(extensions, arcs);
    let level = |arc: u8| extension(&[3, arc]).map(|value| whole(value, Der::byte)).transpose();
    let required = |arc: u8| level(arc)?.ok_or(DerError::Value("missing TCB component"));
    // components 4 to 7 are reserved: absent or zero
    for reserved in 4..=7 {
        if level(reserved)?.unwrap_or(0) != 0 {
            return Err(DerError::Value("reserved TCB component"));
        }
    }
    let fmc = match product {
        Product::Turin => Some(required(9)?),
        Product::Genoa | Product::Milan if level(9)?.is_some() => {
            return Err(DerError::Value("FMC component before Turin"));
        }
        Product::Genoa | Product::Milan => None,
    };
    let tcb = TcbVersion {
        fmc,
        bootloader: required(1)?,
        tee: required(2)?,
        snp: required(3)?,
        microcode: required(8)?,
    };
    let name = extension(&[2]).ok_or(DerError::Value("missing product name"))?;
    let hardware_id = extension(&[4]).map(|value| octets(value, product)).transpose()?;
    let csp_id = extension(&[5]).map(ia5).transpose()?;
    match (kind, &hardware_id, &csp_id) {
        (SigningKey::Vcek, Some(_), None) | (SigningKey::Vlek, None, Some(_)) => {}
        _ => return Err(DerError::Value("chip or provider identity for this kind of key")),
    }
    Ok(Endorsed { product_name: ia5(name)?, tcb, hardware_id, csp_id })
}

fn find<'a>(extensions: &[Extension<'a>], arcs: &[u8]) -> Option<&'a [u8]> {
    let found = extensions.iter().find(|own| own.id.strip_prefix(&AMD_ARC[..]) == Some(arcs));
    found.map(|extension| extension.value)
}

/// The whole content of an extension, read as one element.
fn whole<'a, T>(
    value: &'a [u8],
    read: impl FnOnce(&mut Der<'a>) -> Result<T, DerError>,
) -> Result<T, DerError> {
    let mut der = Der::new(value);
    let content = read(&mut der)?;
    der.finish()?;
    Ok(content)
}

fn ia5(value: &[u8]) -> Result<String, DerError> {
    let text = whole(value, |der| der.element(tag::IA5_STRING))?;
    let printable = text.len() <= 128 && text.iter().all(|byte| (0x20..0x7f).contains(byte));
    let text = std::str::from_utf8(text).ok().filter(|_| printable);
    text.map(str::to_owned).ok_or(DerError::Value("text"))
}

/// A chip identity: 64 bytes, 8 on Turin, either raw (as AMD issues them) or inside an OCTET STRING.
fn octets(value: &[u8], product: Product) -> Result<Vec<u8>, DerError> {
    let length = if product == Product::Turin { 8 } else { 64 };
    let content =
        if value.len() == length { value } else { whole(value, |der| der.element(tag::OCTET_STRING))? };
    if content.len() == length { Ok(content.to_vec()) } else { Err(DerError::Value("chip identity")) }
}
