fn main() {
    let prompt = gateway::Plaintext::new(String::new());
    let _same = prompt == gateway::Plaintext::new(String::new());
}
