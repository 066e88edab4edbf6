fn forge(admitted: gateway::admission::Admitted) -> gateway::guardrail::Screened {
    gateway::guardrail::Screened { admitted, labels: Vec::new() }
}

fn main() {}
