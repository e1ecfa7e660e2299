#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = std::env::args().nth(2).unwrap_or("agent-1".into());
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:60000".into());
    let mut player = masep::Player::builder(id, "countdown.Countdown").join(address)?;
    while let Some(turn) = player.next_turn().await {
        println!("turn {}: {:?}", turn.number(), turn.view());
        player.act(masep::Action::new(2)).await?;
    }
    Ok(println!("it ended: {:?}", player.end()))
}
