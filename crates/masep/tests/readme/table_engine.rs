use std::time::Duration;

use masep::table::{Clock, Table};
use masep::{Action, Element};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:60000".into());
    let clock = Clock { per_turn: Some(Duration::from_secs(2)), bank: None };
    let rules = Table::builder("countdown.Countdown").seats(["red", "blue"]).clock(clock);
    let rules = rules.late(|_view| Action::new(0)).grace(Duration::from_secs(30)).rejoins_by_id(true);
    let table = rules.bind(address).await?;
    println!("listening on {}", table.local_address());
    table.filled().await?;
    for left in (1..=10).rev() {
        let state = Element::parse(format!(r#"<State name="State" left="{left}" />"#))?;
        for its in table.ask_all(|_seat| state.clone()).await? {
            println!("{left} left: {} {:?} {:?}", its.seat(), its.how(), its.action());
        }
        table.show(state)?; // to spectators
    }
    table.end().await;
    Ok(())
}
