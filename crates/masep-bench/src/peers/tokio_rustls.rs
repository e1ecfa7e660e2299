//! tokio's sockets in TLS by tokio-rustls, written by hand: what masep's TLS is measured by.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, client, version};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::buffer::{BATCH, Buffer, WIDE, header, put_frame};
use crate::certificates::Certificates;
use crate::child;
use crate::job::{ACKNOWLEDGEMENT, ACTION, Job, Request, filler};
use crate::link::{Link, runtime};

/// As masep's, so that both shake hands alike.
const PROTOCOL: &[u8] = b"masep/2";

/// A connection that sends and receives frames.
pub(crate) struct TokioRustls {
    stream: TlsStream<TcpStream>,
    buffer: Buffer<WIDE>,
    output: Vec<u8>,
}

impl TokioRustls {
    fn new(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self {
            stream: stream.into(),
            buffer: Buffer::new(),
            output: Vec::new(),
        }
    }

    async fn read_frame(&mut self) -> Result<()> {
        while !self.buffer.has_frame() {
            let count = self.stream.read(self.buffer.space()).await?;
            self.buffer.received(count)?;
        }
        Ok(())
    }

    async fn write_output(&mut self) -> Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        Ok(())
    }
}

impl Link for TokioRustls {
    async fn connect(job: &Job, _number: usize) -> Result<Self> {
        static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let config = match CONFIG.get() {
            Some(config) => config.clone(),
            None => {
                let config = client_config(job.certificates()?)?;
                CONFIG.get_or_init(|| config).clone()
            }
        };
        let address = job.address()?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Self::new(stream))
    }

    async fn send(&mut self, body: &Bytes) -> Result<()> {
        self.feed(body).await?;
        self.flush().await
    }

    /// Large bodies, of which a batch holds few, are encrypted from their place.
    async fn feed(&mut self, body: &Bytes) -> Result<()> {
        if self.output.len() + WIDE + body.len() > BATCH || is_written_alone(body) {
            self.write_output().await?;
        }
        if is_written_alone(body) {
            return write_alone(&mut self.stream, body).await;
        }
        put_frame::<WIDE>(&mut self.output, body);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.write_output().await?;
        Ok(self.stream.flush().await?)
    }

    /// The end of TLS, and of the stream.
    async fn end(mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    async fn receive(&mut self) -> Result<usize> {
        self.read_frame().await?;
        Ok(self.buffer.frame().unwrap_or_default().len())
    }
}

fn is_written_alone(body: &[u8]) -> bool {
    body.len() >= BATCH / 4
}

async fn write_alone(stream: &mut TlsStream<TcpStream>, body: &[u8]) -> Result<()> {
    let header = header::<WIDE>(body);
    let mut frame = Buf::chain(&header[..], body);
    Ok(stream.write_all_buf(&mut frame).await?)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn client_config(certificates: &Certificates) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificates.ca.as_bytes())?)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn server_config(certificates: &Certificates) -> Result<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_slice(
        certificates.server.as_bytes(),
    )?];
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes())?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A task for each connection, which reads and answers.
pub(crate) fn serve(job: &Job) -> Result<()> {
    let config = server_config(job.certificates()?).context("the server's certificate")?;
    let acceptor = TlsAcceptor::from(config);
    runtime(job.threads)?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        child::ready(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            // An error is the end of a connection, which is the client's to judge.
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await?;
                answer(TokioRustls::new(stream)).await
            });
        }
    })
}

async fn answer(mut connection: TokioRustls) -> Result<()> {
    loop {
        connection.read_frame().await?;
        let TokioRustls {
            stream,
            buffer,
            output,
        } = &mut connection;
        let body = buffer.frame().unwrap_or_default();
        match Request::read(body) {
            Request::Take | Request::Broadcast { .. } => continue,
            Request::Echo if is_written_alone(body) => write_alone(stream, body).await?,
            Request::Echo => put_frame::<WIDE>(output, body),
            Request::Observation => put_frame::<WIDE>(output, &ACTION),
            Request::Acknowledge => put_frame::<WIDE>(output, &ACKNOWLEDGEMENT),
            Request::Turn { size } => put_frame::<WIDE>(output, &filler(size as usize)),
        }
        connection.flush().await?;
    }
}
