use gateway::guardrail::Guardrails;
use gateway::screening::{Beside, screen};

fn twice(admitted: gateway::admission::Admitted) {
    let _first = screen(admitted, Beside::default(), &Guardrails::default(), &mut || 0);
    let _second = screen(admitted, Beside::default(), &Guardrails::default(), &mut || 0);
}

fn main() {}
