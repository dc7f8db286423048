//! A TCP connection that can leave one runtime and go on in another, even from within TLS.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// A connection, with what was read of it ahead of those whom it concerns. [`Read`] and [`Write`] never block: they say
/// [`WouldBlock`](io::ErrorKind::WouldBlock).
#[derive(Debug)]
pub(crate) struct Socket {
    place: Place,
    ahead: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    /// On a runtime.
    On(TcpStream),
    /// Between two of them.
    Off(std::net::TcpStream),
    /// It has gone elsewhere, or could not be taken off a runtime or put on another.
    Lost,
}

impl Socket {
    pub(crate) const fn new(tcp: TcpStream) -> Self {
        Self { place: Place::On(tcp), ahead: Vec::new() }
    }

    /// In place of one that has gone elsewhere.
    pub(crate) const fn lost() -> Self {
        Self { place: Place::Lost, ahead: Vec::new() }
    }

    /// Octets that have been read already and come before all others.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        self.ahead = bytes;
    }

    /// Takes it off its runtime.
    ///
    /// # Errors
    /// If the runtime's poller will not let go; the connection is lost then.
    pub(crate) fn take_off(&mut self) -> io::Result<()> {
        if let Place::On(tcp) = std::mem::replace(&mut self.place, Place::Lost) {
            self.place = Place::Off(tcp.into_std()?);
        }
        Ok(())
    }

    /// Puts it on the runtime in whose context this is called.
    ///
    /// # Errors
    /// If its poller refuses it; the connection is lost then.
    pub(crate) fn put_on(&mut self) -> io::Result<()> {
        if let Place::Off(tcp) = std::mem::replace(&mut self.place, Place::Lost) {
            self.place = Place::On(TcpStream::from_std(tcp)?);
        }
        Ok(())
    }

    fn tcp(&self) -> io::Result<&TcpStream> {
        match &self.place {
            Place::On(tcp) => Ok(tcp),
            Place::Off(_) | Place::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn tcp_mut(&mut self) -> io::Result<&mut TcpStream> {
        match &mut self.place {
            Place::On(tcp) => Ok(tcp),
            Place::Off(_) | Place::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// When it may be read again.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_read_ready(cx)
    }

    /// When it may be written again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_write_ready(cx)
    }

    /// Appends what came to `buffer`, at most its spare capacity; returns how many octets. 0 means that the peer has
    /// closed its side.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if !self.ahead.is_empty() {
            let ahead = std::mem::take(&mut self.ahead);
            buffer.extend_from_slice(&ahead);
            return Poll::Ready(Ok(ahead.len()));
        }
        // `read_buf` keeps nothing between polls, so that its future may be made anew each time.
        std::pin::pin!(self.tcp_mut()?.read_buf(buffer)).poll(cx)
    }

    /// Writes from the front of `bytes`; returns how many were taken.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.tcp_mut()?).poll_write(cx, bytes)
    }

    /// Says that no more will be written, if that can be said.
    pub(crate) fn end(&self) {
        if let Ok(tcp) = self.tcp() {
            // A connection that is broken already has ended as well.
            drop(socket2::SockRef::from(tcp).shutdown(Shutdown::Write));
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.tcp()?.try_read(buffer);
        }
        let octets = Read::read(&mut self.ahead.as_slice(), buffer)?;
        self.ahead.drain(..octets);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Ok(octets)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp()?.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
