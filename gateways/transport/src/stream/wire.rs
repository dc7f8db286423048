//! What octets of a connection flow over: TCP, or TLS over it.

use super::{HandshakeFault, Socket};
use openssl::ssl::{Error, ErrorCode, Ssl, SslRef, SslStream};
use std::io;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

/// A connection, plain or encrypted. Its methods are polled by one task.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(SslStream<Socket>),
}

impl Wire {
    pub(crate) const fn new(tcp: TcpStream) -> Self {
        Self { stream: Stream::Plain(Socket::new(tcp)) }
    }

    /// From here on TLS is spoken over it, in the session `ssl`. `ahead` was read of it already. [`Wire::poll_handshake`]
    /// must follow. False if OpenSSL has no memory; the connection is lost then.
    pub(crate) fn secure(&mut self, ssl: Ssl, ahead: Vec<u8>) -> bool {
        let lost = Stream::Plain(Socket::lost());
        let Stream::Plain(mut socket) = std::mem::replace(&mut self.stream, lost) else { return false };
        socket.put_back(ahead);
        match SslStream::new(ssl, socket) {
            Ok(tls) => {
                self.stream = Stream::Tls(tls);
                true
            }
            Err(_no_memory) => false,
        }
    }

    /// Its TLS session.
    pub(crate) fn session(&self) -> Option<&SslRef> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(tls.ssl()),
        }
    }

    /// Shakes hands, as the server.
    ///
    /// # Errors
    /// [`HandshakeFault`]; the connection is of no use then.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeFault>> {
        let Stream::Tls(tls) = &mut self.stream else { return Poll::Ready(Ok(())) };
        loop {
            let Err(fault) = tls.accept() else { return Poll::Ready(Ok(())) };
            match fault.code() {
                ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => match ready!(poll_again(tls, cx, &fault)) {
                    Again::Try => {}
                    Again::Ended | Again::Fault(_) => return Poll::Ready(Err(HandshakeFault::Closed)),
                },
                _ => return Poll::Ready(Err(HandshakeFault::of(tls.ssl(), &fault))),
            }
        }
    }

    /// Appends what came to `buffer`, at most its spare capacity; returns how many octets. 0 means that the peer has
    /// closed its side.
    ///
    /// # Errors
    /// If the connection broke.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let tls = match &mut self.stream {
            Stream::Plain(socket) => return socket.poll_read(cx, buffer),
            Stream::Tls(tls) => tls,
        };
        let start = buffer.len();
        // What OpenSSL writes to must have been written before: that of one record costs next to nothing.
        buffer.resize(start + RECORD, 0);
        let read = loop {
            let space = buffer.get_mut(start..).unwrap_or_default();
            let fault = match tls.ssl_read(space) {
                Ok(octets) => break Poll::Ready(Ok(octets)),
                Err(fault) => fault,
            };
            match poll_again(tls, cx, &fault) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Again::Try) => {}
                Poll::Ready(Again::Ended) => break Poll::Ready(Ok(0)),
                Poll::Ready(Again::Fault(fault)) => break Poll::Ready(Err(fault)),
            }
        };
        let octets = if let Poll::Ready(Ok(octets)) = &read { *octets } else { 0 };
        buffer.truncate(start.saturating_add(octets));
        read
    }

    /// Writes from the front of `bytes`, of which there must be some; returns how many were taken. After `Pending` the
    /// next call must begin with the same octets, and may have more after them: TLS has encrypted the first of them.
    ///
    /// # Errors
    /// If the connection broke, or takes no more.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tls = match &mut self.stream {
            Stream::Plain(socket) => {
                let written = ready!(socket.poll_write(cx, bytes))?;
                return Poll::Ready(if written > 0 { Ok(written) } else { Err(io::ErrorKind::WriteZero.into()) });
            }
            Stream::Tls(tls) => tls,
        };
        loop {
            let fault = match tls.ssl_write(bytes) {
                Ok(octets) => return Poll::Ready(Ok(octets)),
                Err(fault) => fault,
            };
            match ready!(poll_again(tls, cx, &fault)) {
                Again::Try => {}
                Again::Ended => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Again::Fault(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Says that no more will be written, as well as that can be said at once.
    pub(crate) fn end(&mut self) {
        match &mut self.stream {
            Stream::Plain(socket) => socket.end(),
            Stream::Tls(tls) => {
                // A close_notify that finds no room is not worth waiting for: TCP says the same.
                drop(tls.shutdown());
                tls.get_ref().end();
            }
        }
    }

    /// Takes it off its runtime.
    ///
    /// # Errors
    /// If the runtime's poller will not let go; the connection is lost then.
    pub(crate) fn take_off(&mut self) -> io::Result<()> {
        self.socket_mut().take_off()
    }

    /// Puts it on the runtime in whose context this is called.
    ///
    /// # Errors
    /// If its poller refuses it; the connection is lost then.
    pub(crate) fn put_on(&mut self) -> io::Result<()> {
        self.socket_mut().put_on()
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match &mut self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.get_mut(),
        }
    }
}

/// What to do after OpenSSL could not do what it was asked to.
enum Again {
    /// Ask again: the socket is ready by now.
    Try,
    /// The peer has closed its side.
    Ended,
    /// Nothing.
    Fault(io::Error),
}

/// Waits for what OpenSSL waits for.
fn poll_again(tls: &SslStream<Socket>, cx: &mut Context<'_>, fault: &Error) -> Poll<Again> {
    let ready = match fault.code() {
        ErrorCode::WANT_READ => ready!(tls.get_ref().poll_readable(cx)),
        ErrorCode::WANT_WRITE => ready!(tls.get_ref().poll_writable(cx)),
        ErrorCode::ZERO_RETURN => return Poll::Ready(Again::Ended),
        ErrorCode::SYSCALL => match fault.io_error() {
            Some(source) => Err(io::Error::new(source.kind(), source.to_string())),
            None => return Poll::Ready(Again::Ended),
        },
        // Many devices just close. Protocols have lengths of their own, so that nothing can be cut unnoticed.
        _ if is_eof(fault) => return Poll::Ready(Again::Ended),
        _ => Err(io::Error::other(reason(fault))),
    };
    Poll::Ready(ready.map_or_else(Again::Fault, |()| Again::Try))
}

/// The peer has closed TCP without a word of TLS.
fn is_eof(fault: &Error) -> bool {
    let eof = |error: &openssl::error::Error| error.reason_code() == UNEXPECTED_EOF;
    fault.ssl_error().and_then(|stack| stack.errors().first()).is_some_and(eof)
}

/// OpenSSL's first word on what went wrong.
fn reason(fault: &Error) -> String {
    let first = fault.ssl_error().and_then(|stack| stack.errors().first());
    first.and_then(|error| error.reason()).map_or_else(|| "TLS".to_owned(), |reason| format!("TLS: {reason}"))
}

/// A TLS record has no more octets of content (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// `SSL_R_UNEXPECTED_EOF_WHILE_READING`, as OpenSSL 3 says since 3.0.
const UNEXPECTED_EOF: i32 = 294;
