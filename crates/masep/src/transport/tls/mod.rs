//! TLS under a connection: a layer between it and its socket.

mod layer;
mod session;

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use masep_proto::Limits;
use masep_proto::tls::LayerState;

pub(crate) use layer::Layer;

use super::{Stream, TcpOptions, Transport};
use crate::SocketOptions;

/// A transport with TLS in it, or with that being found out.
#[derive(Debug)]
pub(crate) struct Layered<T: Transport> {
    below: T,
    layer: Box<Layer>,
    /// The drop is a reset.
    resets: AtomicBool,
}

impl<T: Transport> Layered<T> {
    pub(crate) fn new(below: T, layer: Layer) -> Self {
        Self {
            below,
            layer: Box::new(layer),
            resets: AtomicBool::new(false),
        }
    }

    fn read(
        &self,
        room: &mut Vec<u8>,
        read: impl Fn(&T, &mut Vec<u8>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.layer.is_plain() {
            return read(&self.below, room);
        }
        let recv = &mut |room: &mut Vec<u8>| read(&self.below, room);
        self.layer
            .read(room, false, recv, &|bytes| self.below.try_write(bytes))
    }

    fn close(&self) {
        if !self.layer.is_plain() && !self.resets.load(Ordering::Acquire) {
            self.layer.close(&|bytes| match self.below.tcp() {
                Some(tcp) => tcp.try_write_last(bytes),
                None => self.below.try_write(bytes),
            });
        }
    }
}

impl<T: Transport> Stream for Layered<T> {
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.read(buffer, T::try_read)
    }

    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.layer.writes_plainly() {
            return self.below.try_write_vectored(buffers);
        }
        self.layer
            .write(buffers, &|bytes| self.below.try_write(bytes))
    }

    fn layer(&self) -> Option<LayerState> {
        Some(self.layer.state())
    }

    fn try_flush(&self) -> io::Result<()> {
        self.layer.flush(&|bytes| self.below.try_write(bytes))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.close();
        }
        self.below.shutdown(how)
    }

    fn reset_on_drop(&self) {
        self.resets.store(true, Ordering::Release);
        self.below.reset_on_drop();
    }

    fn tcp(&self) -> Option<&dyn TcpOptions> {
        self.below.tcp()?;
        Some(self)
    }
}

/// The acknowledgements are asked for where no TLS is: what they tell of a peer is of pymasep's protocol.
impl<T: Transport> TcpOptions for Layered<T> {
    fn prepare(&self, limits: &Limits, options: &SocketOptions) -> io::Result<()> {
        self.below
            .tcp()
            .map_or(Ok(()), |tcp| tcp.prepare(limits, options))
    }

    fn is_prepared(&self, limits: &Limits) -> bool {
        (self.below.tcp()).is_some_and(|tcp| tcp.is_prepared(limits))
    }

    fn send_paced(&self) {
        if let Some(tcp) = self.below.tcp() {
            tcp.send_paced();
        }
    }

    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.below.tcp() {
            Some(tcp) if self.layer.writes_plainly() => tcp.try_write_apart(buffers),
            _ => self.try_write_vectored(buffers),
        }
    }

    fn acknowledge(&self) {
        if let Some(tcp) = self.below.tcp().filter(|_| self.layer.is_plain()) {
            tcp.acknowledge();
        }
    }

    fn withhold_acknowledgement(&self) {
        if let Some(tcp) = self.below.tcp().filter(|_| self.layer.is_plain()) {
            tcp.withhold_acknowledgement();
        }
    }

    fn tell_when_sent(&self) -> bool {
        self.below.tcp().is_some_and(TcpOptions::tell_when_sent)
    }
}

impl<T: Transport> Transport for Layered<T> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.layer.state().more {
            return Poll::Ready(Ok(()));
        }
        self.below.poll_readable(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_writable(context)
    }

    fn try_read_eagerly(&self, buffer: &mut Vec<u8>, times: usize) -> io::Result<usize> {
        self.read(buffer, |below, buffer| {
            below.try_read_eagerly(buffer, times)
        })
    }

    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_sent(context)
    }
}

impl<T: Transport> Drop for Layered<T> {
    fn drop(&mut self) {
        self.close();
    }
}
