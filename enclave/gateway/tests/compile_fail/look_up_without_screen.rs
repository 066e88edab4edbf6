use gateway::cache::{Begun, Beside, ask};

fn skip(admitted: gateway::admission::Admitted, beside: &Beside<'_>, secret: &ring::hmac::Key) -> Begun {
    ask(admitted, beside, None, secret)
}

fn main() {}
