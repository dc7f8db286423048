//! MQTT over WebSocket (MQTT 5.0 §6, RFC 6455): messages are taken out of frames and put into frames on their way through.
//! Where a frame begins says nothing about where an MQTT packet does, so that nothing waits for its end: a connection at
//! rest holds no buffer.

mod frames;
mod handshake;

pub(super) use handshake::{Origin, shake_hands};

use super::wire::Wire;
use frames::{Control, Farewell, FrameFault, Frames, Opcode, write_frame};
use std::io::{Error, ErrorKind, Result};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// A connection after its handshake.
#[derive(Debug, Default)]
pub(super) struct WebSocket {
    frames: Frames,
    /// What came right behind the handshake.
    early: Vec<u8>,
    /// The broker has sent its last frame.
    farewell: Option<Farewell>,
    out: Out,
    /// A pong or close that waits until `out` has left. A later one takes its place (RFC 6455 §5.5.3).
    answer: Vec<u8>,
    /// Our own close has been put into words.
    closing: bool,
}

/// The frame that is being written; empty between frames.
#[derive(Debug, Default)]
struct Out {
    frame: Vec<u8>,
    sent: usize,
    /// Octets of the caller that it carries: 0 for a control frame.
    carries: usize,
}

impl WebSocket {
    fn new(early: Vec<u8>) -> Self {
        Self { early, ..Self::default() }
    }

    /// As `BrokerStream::poll_read`; answers pings and the close on the way.
    pub(super) fn poll_read(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<Result<usize>> {
        loop {
            self.answer(wire, cx)?;
            if let Some(farewell) = &self.farewell {
                return Poll::Ready(if farewell.is_orderly() { Ok(0) } else { Err(aborted(farewell.to_string())) });
            }
            let begin = buffer.len();
            if self.early.is_empty() {
                // `read_buf` keeps nothing between polls, so that its future may be made anew each time.
                if ready!(pin!(wire.read_buf(buffer)).poll(cx))? == 0 {
                    return Poll::Ready(Ok(0));
                }
            } else {
                let taken = self.early.len().min(buffer.capacity() - begin);
                buffer.extend(self.early.drain(..taken));
            }
            let kept = self.hear(buffer.get_mut(begin..).unwrap_or_default())?;
            buffer.truncate(begin + kept);
            if kept > 0 {
                self.answer(wire, cx)?;
                return Poll::Ready(Ok(kept));
            }
        }
    }

    /// As `BrokerStream::poll_write`: a frame is ready once all of it has left.
    pub(super) fn poll_write(&mut self, wire: &mut Wire, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.out.is_empty() && self.answer.is_empty() {
                let payload = bytes.get(..MOST_WRITTEN).unwrap_or(bytes);
                write_frame(Opcode::Binary, payload, key()?, &mut self.out.frame);
                self.out.carries = payload.len();
            } else {
                self.begin_answer();
            }
            let carried = ready!(self.out.poll(wire, cx))?;
            if carried > 0 {
                self.answer(wire, cx)?;
                return Poll::Ready(Ok(carried));
            }
        }
    }

    /// Says the last word, as far as WebSocket goes: it is the broker who then closes the connection (RFC 6455 §7.1.1).
    pub(super) fn poll_shutdown(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.closing {
            self.say_close(NORMAL)?;
        }
        while !self.out.is_empty() || !self.answer.is_empty() {
            self.begin_answer();
            ready!(self.out.poll(wire, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// What of `raw` belongs to messages is left at its front; returns how much that is.
    fn hear(&mut self, raw: &mut [u8]) -> Result<usize> {
        let mut controls = Vec::new();
        let kept = self.frames.hear(raw, &mut controls).map_err(broken)?;
        for control in controls {
            match control {
                Control::Ping(payload) if self.farewell.is_none() => {
                    self.answer.clear();
                    write_frame(Opcode::Pong, &payload, key()?, &mut self.answer);
                }
                Control::Close(farewell) if self.farewell.is_none() => {
                    if !self.closing {
                        self.say_close(farewell.code.unwrap_or(NORMAL))?;
                    }
                    self.farewell = Some(farewell);
                }
                // Nothing counts that comes after a close (RFC 6455 §5.5.1).
                Control::Ping(_) | Control::Close(_) => {}
            }
        }
        Ok(kept)
    }

    fn say_close(&mut self, code: u16) -> Result<()> {
        self.closing = true;
        self.answer.clear();
        write_frame(Opcode::Close, &code.to_be_bytes(), key()?, &mut self.answer);
        Ok(())
    }

    /// Writes what the broker is owed, as far as that goes now. A frame of the caller's is left to `poll_write`.
    fn answer(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Result<()> {
        self.begin_answer();
        if self.out.carries > 0 || self.out.is_empty() {
            return Ok(());
        }
        match self.out.poll(wire, cx) {
            Poll::Ready(written) => written.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    fn begin_answer(&mut self) {
        if self.out.is_empty() {
            self.out.frame = std::mem::take(&mut self.answer);
        }
    }
}

impl Out {
    const fn is_empty(&self) -> bool {
        self.frame.is_empty()
    }

    /// Writes all of it, and returns how many octets of the caller that were.
    fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        while let Some(rest) = self.frame.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.sent += written,
            }
        }
        Poll::Ready(Ok(std::mem::take(self).carries))
    }
}

fn key() -> Result<[u8; 4]> {
    let mut key = [0; 4];
    openssl::rand::rand_bytes(&mut key)?;
    Ok(key)
}

fn broken(fault: FrameFault) -> Error {
    aborted(format!("WebSocket: the broker sent {fault}"))
}

fn aborted(text: String) -> Error {
    Error::new(ErrorKind::ConnectionAborted, text)
}

/// Payload of one frame: within what brokers take by default.
const MOST_WRITTEN: usize = 16 * 1024;
/// A normal closure (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;
