fn main() {
    let key = gateway::Secret::new(String::new());
    let _copy: gateway::Secret<String> = Clone::clone(&key);
}
