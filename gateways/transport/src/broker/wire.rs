//! What lies under MQTT or WebSocket: TCP, plain or in TLS.

use super::fault::tls_reason;
use std::io::{Error, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let wire = self.get_mut();
        match Pin::new(&mut *wire).writer().poll_write(cx, bytes) {
            Poll::Ready(Err(fault)) => Poll::Ready(Err(wire.last_word(cx).unwrap_or(fault))),
            other => other,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.writer().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}

impl Wire {
    fn writer(self: Pin<&mut Self>) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        Pin::new(match self.get_mut() {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls,
        })
    }

    /// Nothing can be written any more: an alert may have come that says why.
    fn last_word(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let Self::Tls(tls) = self else { return None };
        let mut unread = [0; 256];
        match Pin::new(tls).poll_read(cx, &mut ReadBuf::new(&mut unread)) {
            Poll::Ready(Err(alert)) => tls_reason(&alert).is_some().then_some(alert),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }
}
