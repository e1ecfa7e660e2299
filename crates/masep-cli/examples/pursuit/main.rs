//! The engine as a program: `cargo run --example engine -- [ADDRESS:PORT [ACTORS]]`, then the example `agent` with the same
//! address in as many other shells.

#[path = "engine.rs"]
pub(crate) mod engine;

use std::time::Duration;

use engine::{Engine, Settings};

/// The address to listen on and the number of actors, from the arguments behind the program's name.
///
/// # Errors
/// The usage, for any other arguments.
pub(crate) fn arguments(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(String, usize), String> {
    const USAGE: &str = "usage: engine [ADDRESS:PORT [ACTORS]]";
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:60000".to_owned());
    if !address.contains(':') {
        return Err(format!("{address:?} is no address; {USAGE}"));
    }
    let actors = arguments.next().unwrap_or_else(|| "1".to_owned());
    match (actors.parse(), arguments.next()) {
        (Ok(actors), None) if actors > 0 => Ok((address, actors)),
        (Ok(_), Some(other)) => Err(format!("{other:?} is too much; {USAGE}")),
        _ => Err(format!("{actors:?} is no number of actors; {USAGE}")),
    }
}

#[tokio::main]
async fn main() -> Result<(), engine::Failure> {
    let (address, actors) = arguments(std::env::args().skip(1))?;
    let settings = Settings {
        actors,
        observers: 0,
        episodes: 10,
        seed: 1,
        turn_time: Duration::from_secs(5),
        slow_steps: 0,
        slow_step_time: Duration::ZERO,
    };
    let engine = Engine::bind(&address, settings).await?;
    println!("{} awaits its actors", engine.server().local_address());
    if let Err(error) = engine.server().announce() {
        println!("the LAN search will not find it: {error}");
    }
    let stop = async {
        // Without a signal handler it goes on to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let report = engine
        .run(stop, |report, world| {
            if world.is_final() {
                let steps = world.steps();
                println!("episode {} took {steps} steps", report.episodes);
            }
        })
        .await?;
    println!("{report}");
    Ok(())
}
