fn main() {
    let prompt = gateway::Plaintext::new(String::new());
    let _copy: gateway::Plaintext<String> = Clone::clone(&prompt);
}
