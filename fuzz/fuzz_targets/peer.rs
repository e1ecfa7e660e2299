//! Any bytes in any pieces from a peer that has connected, of which the server has to make what is in
//! them: a hello or a refusal, each whole frame once and in order, and one reason for the end.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use masep::transport::memory::{self, MemoryTransport};
use masep::transport::{Stream, Transport};
use masep::{CloseReason, Limits, Server};
use masep_fuzz::Cuts;
use masep_proto::{Frame, FrameCodec, LimitExceeded};
use tokio::runtime::{Builder, Handle};

/// In which everything has to have ended, of a clock that goes as fast as things happen.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Longer than a server waits for anything.
const LONG: Duration = Duration::from_secs(60);

#[derive(Arbitrary, Debug)]
struct Setting {
    pipe: u16,
    queue_messages: u8,
    frame_bytes: u16,
    id_bytes: u8,
    cuts: u32,
    /// Milliseconds between two pieces.
    pause: u8,
    /// True if the peer reads the server's bytes.
    reads: bool,
    ending: Ending,
}

/// The act of the peer behind its last byte.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Ending {
    /// It shuts its side, and still reads.
    Shut,
    /// It is gone.
    Drop,
    /// It resets the connection.
    Reset,
    /// It says nothing any more.
    Silence,
}

/// The content of a stream, read in the plainest way.
#[derive(Debug, Default)]
struct Content {
    id: Option<String>,
    frames: Vec<Frame>,
    bye: bool,
    refused: Option<LimitExceeded>,
    /// True if it stops within a frame.
    rest: bool,
}

impl Content {
    fn of(stream: &[u8], limits: &Limits) -> Self {
        let (codec, mut stream) = (FrameCodec::new(limits), BytesMut::from(stream));
        let mut content = Self::default();
        while content.refused.is_none() && !content.bye {
            match codec.decode(&mut stream) {
                Ok(None) => break,
                Ok(Some(frame)) if content.id.is_none() => {
                    let id = std::str::from_utf8(frame.bytes()).ok();
                    let fits = frame.size() <= limits.id_bytes && !frame.is_bye();
                    match id.filter(|_| fits) {
                        Some(id) => content.id = Some(id.to_owned()),
                        None => return content,
                    }
                }
                Ok(Some(frame)) if frame.is_bye() => content.bye = true,
                Ok(Some(frame)) => content.frames.push(frame),
                Err(limit) => content.refused = Some(limit),
            }
        }
        content.rest = !stream.is_empty();
        content
    }
}

/// Writes all of it if the server takes it, then ends as it is told.
async fn speak(peer: &MemoryTransport, stream: &[u8], setting: &Setting) {
    for mut piece in Cuts::new(stream, setting.cuts) {
        while !piece.is_empty() {
            match peer.try_write(piece) {
                Ok(written) => piece = &piece[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if std::future::poll_fn(|context| peer.poll_writable(context))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(_gone) => return,
            }
        }
        tokio::time::sleep(Duration::from_millis(setting.pause.into())).await;
    }
}

/// Reads until the end, and checks that it is frames.
async fn hear(peer: &MemoryTransport) -> Vec<Frame> {
    let (codec, mut buffer, mut frames) = (FrameCodec::default(), BytesMut::new(), Vec::new());
    loop {
        while let Ok(Some(frame)) = codec.decode(&mut buffer) {
            frames.push(frame);
        }
        let mut landing = Vec::with_capacity(64);
        match peer.try_read(&mut landing) {
            Ok(0) => break,
            Ok(_) => buffer.extend_from_slice(&landing),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if std::future::poll_fn(|context| peer.poll_readable(context))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            Err(_reset) => break,
        }
    }
    frames
}

async fn meet(setting: &Setting, stream: &[u8]) {
    let limits = Limits::default()
        .frame_bytes(usize::from(setting.frame_bytes).max(1))
        .id_bytes(usize::from(setting.id_bytes).max(1))
        .queue_messages(usize::from(setting.queue_messages).max(1))
        .idle_time(Some(Duration::from_secs(10)));
    let content = Content::of(stream, &limits);
    let (listener, connector) = memory::listen(1);
    let server = Server::builder("e").limits(limits).serve_over(listener);
    let server = server.expect("pipes need nothing of the system");
    let peer = connector.connect(setting.pipe.into()).await;
    let peer = peer.expect("it is listening");
    let play = play(peer, stream, setting);
    let serve = serve(&server, &content);
    let ((), reason) = tokio::time::timeout(PATIENCE, async { tokio::join!(play, serve) })
        .await
        .expect("it does not end");
    check(reason, &content, setting);
    let report = server.shutdown(PATIENCE).await;
    assert!(report.ended.is_empty() && report.cut.is_empty());
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

/// The peer's part.
async fn play(peer: MemoryTransport, stream: &[u8], setting: &Setting) {
    let speaking = async {
        speak(&peer, stream, setting).await;
        match setting.ending {
            Ending::Shut => {
                let _ = peer.shutdown(std::net::Shutdown::Write);
            }
            Ending::Silence => tokio::time::sleep(LONG).await,
            Ending::Drop | Ending::Reset => {}
        }
    };
    if setting.reads {
        let hearing = hear(&peer);
        let stays = matches!(setting.ending, Ending::Shut | Ending::Silence);
        let (heard, ()) = if stays {
            tokio::join!(hearing, speaking)
        } else {
            tokio::select! {
                heard = hearing => (heard, ()),
                () = speaking => (Vec::new(), ()),
            }
        };
        let bye = heard.iter().position(Frame::is_bye);
        assert!(bye.is_none_or(|at| at + 1 == heard.len()), "behind a BYE");
    } else {
        speaking.await;
    }
    if matches!(setting.ending, Ending::Reset) {
        peer.reset_on_drop();
    }
}

/// The server's part: why the connection ended, if there was one.
async fn serve(server: &Server, content: &Content) -> Option<CloseReason> {
    let Ok(Ok(connection)) = tokio::time::timeout(LONG, server.accept()).await else {
        return None;
    };
    assert_eq!(Some(connection.peer().as_str()), content.id.as_deref());
    let mut expected = content.frames.iter();
    while let Ok(frame) = connection.recv().await {
        assert_eq!(Some(&frame), expected.next());
    }
    let reason = connection.closed().await;
    let orderly = matches!(reason, CloseReason::PeerBye);
    assert!(!orderly || expected.next().is_none(), "lost before the end");
    Some(reason)
}

/// That the end is what the peer did.
fn check(reason: Option<CloseReason>, content: &Content, setting: &Setting) {
    let Some(reason) = reason else { return };
    let leaves = matches!(setting.ending, Ending::Drop | Ending::Reset);
    match reason {
        CloseReason::PeerBye => assert!(content.bye),
        CloseReason::ProtocolError(limit) => assert_eq!(Some(limit), content.refused),
        CloseReason::EndOfStream { mid_frame } => {
            assert!(!content.bye && content.refused.is_none());
            assert_eq!(mid_frame, content.rest);
            assert!(!matches!(setting.ending, Ending::Silence));
        }
        // A peer that leaves without reading what came has reset the connection.
        CloseReason::Reset => assert!(leaves || !setting.reads),
        CloseReason::IdleTimeout => assert!(matches!(setting.ending, Ending::Silence)),
        other => panic!("{other}"),
    }
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(setting) = input.arbitrary::<Setting>() else {
        return;
    };
    let stream = input.take_rest();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it needs nothing of the system");
    runtime.block_on(meet(&setting, stream));
});
