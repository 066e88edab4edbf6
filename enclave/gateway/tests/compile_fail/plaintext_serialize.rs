fn main() {
    let prompt = gateway::Plaintext::new(String::new());
    let _text = serde_json::to_string(&prompt);
}
