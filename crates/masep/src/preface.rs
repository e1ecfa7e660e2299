//! The header of the PROXY protocol in front of a connection, read from its stream, for a listener that expects one.

use std::io;

use masep_proto::proxy_protocol::{self, HeaderError};

use crate::Address;
use crate::transport::Stream;

/// The reason why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrefaceError {
    #[error("the connection ended before its header of the PROXY protocol was whole")]
    Ended,
    #[error("no header of the PROXY protocol came in time")]
    Late,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The bytes of a header that have come.
#[derive(Debug, Default)]
pub(crate) struct Preface {
    heard: Vec<u8>,
}

impl Preface {
    /// Reads what has arrived of the header, and not a byte of what is behind it. When it is whole: the address to go by,
    /// which is `address`, that of whoever has connected, where nothing is said of a client.
    pub(crate) fn read(
        &mut self,
        stream: &impl Stream,
        address: &Address,
    ) -> Result<Option<Address>, PrefaceError> {
        loop {
            if let Some((origin, _)) = proxy_protocol::read(&self.heard)? {
                let source = origin.source().map(Address::Tcp);
                return Ok(Some(source.unwrap_or_else(|| address.clone())));
            }
            let wanted = proxy_protocol::wanted(&self.heard);
            let mut room = exactly(wanted);
            let before = room.len();
            match stream.try_read(&mut room) {
                Ok(0) => return Err(PrefaceError::Ended),
                Ok(_) => self.heard.extend_from_slice(&room[before..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A buffer with spare capacity for so many bytes and not one more, whatever is allocated.
fn exactly(wanted: usize) -> Vec<u8> {
    let mut room = Vec::with_capacity(wanted);
    room.resize(room.capacity() - wanted, 0);
    room
}
