//! The local token has no printed form but the one that is asked for by name.

fn main() {
    let token = postern_client::local_proxy::Token::generate().unwrap();
    println!("{token:?}");
}
