fn main() {
    let key = gateway::Secret::new(String::new());
    let _text = serde_json::to_string(&key);
}
