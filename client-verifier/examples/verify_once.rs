//! Is this gateway what the policy demands? `cargo run --example verify_once -- https://gateway.example policy.toml`

use postern_client::{Error, connect, policy_file};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example's output is its point")]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let (url, file) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let channel = connect(&url, policy_file::load(file.as_ref())?).await?;
    for check in channel.verified().checks() {
        println!("{}: expected {}, found {}", check.id, check.expected, check.found);
    }
    println!("verified until {}", channel.verified().expires_at());
    Ok(())
}
