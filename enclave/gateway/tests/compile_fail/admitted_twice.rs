use gateway::guardrail::{Guardrails, screen};

fn twice(admitted: gateway::admission::Admitted) {
    let _first = screen(admitted, &Guardrails::default());
    let _second = screen(admitted, &Guardrails::default());
}

fn main() {}
