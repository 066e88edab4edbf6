fn forge(admitted: gateway::admission::Admitted) -> gateway::screening::Screened {
    gateway::screening::Screened { admitted, labels: Vec::new(), guard: None }
}

fn main() {}
