//! What clouds let an operator attach to an instance, over their metadata services (plain HTTP inside the machine).
//!
//! Amazon "Instance Metadata Service Version 2", Microsoft "Azure Instance Metadata Service", Google "VM metadata".
//! Requests are HTTP/1.0, so that answers end with the connection and have no chunks.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Amazon: user data, with a session token.
pub(super) fn aws(ask: impl Fn(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let wanted = "x-aws-ec2-metadata-token-ttl-seconds: 60\r\ncontent-length: 0\r\n";
    let token = body(&ask(&request("PUT", "/latest/api/token", wanted))?)?;
    let token = String::from_utf8(token).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let header = format!("x-aws-ec2-metadata-token: {}\r\n", token.ok_or(io::ErrorKind::InvalidData)?);
    body(&ask(&request("GET", "/latest/user-data", &header))?)
}

/// Microsoft: user data, in base64.
pub(super) fn azure(ask: impl Fn(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let path = "/metadata/instance/compute/userData?api-version=2021-02-01&format=text";
    let text = body(&ask(&request("GET", path, "metadata: true\r\n"))?)?;
    STANDARD.decode(text.trim_ascii()).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Google: a custom attribute.
pub(super) fn gcp(ask: impl Fn(&[u8]) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let path = "/computeMetadata/v1/instance/attributes/postern-config";
    body(&ask(&request("GET", path, "metadata-flavor: Google\r\n"))?)
}

fn request(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.0\r\nhost: 169.254.169.254\r\n{headers}\r\n").into_bytes()
}

/// The body of an answer that says 200.
fn body(answer: &[u8]) -> io::Result<Vec<u8>> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = answer.get(9..12).filter(|_| answer.starts_with(b"HTTP/1."));
    if status != Some(b"200") {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(answer.get(end.saturating_add(4)..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn answer(text: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nserver: x\r\n\r\n{text}").into_bytes()
    }

    #[test]
    fn each_cloud_is_asked_in_its_own_way() {
        let asked = RefCell::new(Vec::new());
        let ask = |request: &[u8]| {
            let text = String::from_utf8(request.to_vec()).unwrap();
            let given = if text.starts_with("PUT") { "token" } else { "dmVyc2lvbg==\n" };
            asked.borrow_mut().push(text);
            Ok(answer(given))
        };
        assert_eq!(gcp(ask).unwrap(), b"dmVyc2lvbg==\n");
        assert_eq!(azure(ask).unwrap(), b"version");
        assert_eq!(aws(ask).unwrap(), b"dmVyc2lvbg==\n");
        let asked = asked.borrow();
        assert!(asked[0].contains("\r\nmetadata-flavor: Google\r\n"), "{}", asked[0]);
        assert!(asked[1].contains("\r\nmetadata: true\r\n"), "{}", asked[1]);
        assert!(asked[3].contains("\r\nx-aws-ec2-metadata-token: token\r\n"), "{}", asked[3]);
    }

    #[test]
    fn other_answers_are_none() {
        for bad in ["", "HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 200 OK\r\n", "200 OK\r\n\r\nx"] {
            assert!(body(bad.as_bytes()).is_err(), "{bad}");
        }
        let token = |_: &[u8]| Ok(answer("a token\r\nwith: a header"));
        assert_eq!(aws(token).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
