fn main() {
    let key = gateway::Secret::new(String::new());
    let _same = key == gateway::Secret::new(String::new());
}
