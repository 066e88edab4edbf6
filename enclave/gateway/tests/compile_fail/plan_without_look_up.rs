fn skip(screened: gateway::guardrail::Screened, models: &gateway::route::Models) {
    let _routed = gateway::route::plan(screened, models, 0);
}

fn main() {}
