//! A verified channel cannot be made but by binding.

fn main() {
    let host = http::HeaderValue::from_static("gateway.example");
    let _channel = postern_client::VerifiedChannel { host };
}
