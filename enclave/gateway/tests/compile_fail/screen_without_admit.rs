use gateway::guardrail::{Guardrails, screen};

fn skip(request: gateway::wire::Request) {
    let _screened = screen(request, &Guardrails::default());
}

fn main() {}
