use masep::{Action, Client, Message, MessageType, Role, TypeName, Value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:60000".into());
    let me = "agent-1";
    let client = Client::builder(me).connect(address).await?;
    let engine = client.connection();
    engine.send_message(&Message::define(me, TypeName::new("countdown.Countdown"))).await?;
    engine.send_message(&Message::register(me, me, 0, Role::Actor)).await?;
    loop {
        let message = engine.recv_message().await?;
        match message.msg_type {
            MessageType::Observation => {
                let state = message.param("observation").and_then(Value::as_element);
                println!("at step {:?}", state.and_then(|state| state.attribute("env_step")));
                engine.send_message(&Message::action(me, Action::new(2).with("pace", 1))).await?;
            }
            MessageType::End => {
                engine.send_message(&Message::quit(me)).await?;
                println!("it ended: {}", engine.bye().await);
                return Ok(());
            }
            _ => {}
        }
    }
}
