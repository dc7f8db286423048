//! Connections to the admin listener: so many at once, and none that is silent for long.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// At once; further ones wait in the kernel.
pub(super) const MOST: usize = 256;
/// Without an octet from the other side; then the connection is closed.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// A listener that takes so many connections at once.
#[derive(Debug)]
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle: Duration,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, most: usize, idle: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(most)), idle }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore: without a place there is no bound, but never a wait without end.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let silent = Box::pin(tokio::time::sleep(self.idle));
        (Connection { stream, silent, idle: self.idle, _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that has a place.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    silent: Pin<Box<Sleep>>,
    idle: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = pin!(&mut this.stream).poll_read(cx, buffer) {
            this.silent.as_mut().reset(Instant::now() + this.idle);
            return Poll::Ready(read);
        }
        ready!(this.silent.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pin!(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::net::TcpStream as Client;

    async fn bounded(most: usize, idle: Duration) -> (Bounded, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Bounded::new(listener, most, idle), address)
    }

    #[test]
    fn one_more_than_may_be_waits_until_another_has_gone() {
        crate::worker::runtime().unwrap().block_on(async {
            let (mut bounded, address) = bounded(2, IDLE).await;
            let _clients = [(); 3].map(|()| Client::connect(address).unwrap());
            let (first, _) = bounded.accept().await;
            let (_second, _) = bounded.accept().await;
            assert_eq!(bounded.places.available_permits(), 0);
            let mut third = pin!(bounded.accept());
            poll_fn(|cx| {
                assert!(third.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(first);
            third.await;
        });
    }

    #[test]
    fn who_says_nothing_is_let_go() {
        crate::worker::runtime().unwrap().block_on(async {
            let (mut bounded, address) = bounded(2, Duration::from_millis(20)).await;
            let _client = Client::connect(address).unwrap();
            let (mut connection, _) = bounded.accept().await;
            let mut octets = [0; 8];
            let read = poll_fn(|cx| pin!(&mut connection).poll_read(cx, &mut ReadBuf::new(&mut octets))).await;
            assert_eq!(read.map_err(|fault| fault.kind()), Err(io::ErrorKind::TimedOut));
        });
    }
}
