fn main() {
    let prompt = gateway::Plaintext::new(String::new());
    let _text = format!("{prompt:?}");
}
