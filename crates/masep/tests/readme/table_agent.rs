#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, id] = [1, 2].map(|at| std::env::args().nth(at).expect("an ADDRESS and an ID"));
    let mut player = masep::Player::builder(id, "countdown.Countdown").join(address)?;
    while let Some(turn) = player.next_turn().await {
        println!("turn {}: {:?}", turn.number(), turn.view());
        player.act(masep::Action::new(2)).await?;
    }
    println!("it ended: {:?}", player.end());
    Ok(())
}
