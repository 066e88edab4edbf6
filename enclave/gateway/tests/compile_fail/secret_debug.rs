fn main() {
    let key = gateway::Secret::new(String::new());
    let _text = format!("{key:?}");
}
