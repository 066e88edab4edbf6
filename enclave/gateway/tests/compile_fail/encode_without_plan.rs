use std::sync::Arc;

fn skip(missed: gateway::cache::Missed, at: &Arc<gateway::deployment::Deployment>) {
    let _call = gateway::provider::encode(&missed, at);
}

fn main() {}
