//! A TCP connection for each client, plain or in TLS.
//!
//! On loopback every 20,000 clients have a source address of their own, because an address has not many more ports.

use super::sockets::make_room;
use super::spread::FIRST;
use crate::failure::Failure;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;

/// How a connection is encrypted: a session for each.
pub(crate) type Sessions = Box<dyn Fn() -> Result<Ssl, Failure>>;

/// The connections, by client.
pub(crate) struct Streams {
    gateway: SocketAddr,
    sessions: Option<Sessions>,
    lines: Vec<Line>,
    ready: Epoll,
    /// Connections that were refused before they could be waited for.
    refused: Vec<u32>,
    scratch: Vec<u8>,
}

/// What happened to a client's connection.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    /// It is there, TLS and all.
    Opened,
    /// All that has come and was not consumed before.
    Octets(&'a [u8]),
    /// It could not be had, or it has ended, and not because we closed it.
    Closed,
    /// The same, because the handshake of TLS found this wrong.
    NoTls(&'a str),
}

/// One connection.
#[derive(Default)]
struct Line {
    state: State,
    /// Not written yet.
    unsent: Vec<u8>,
    /// Not consumed yet.
    unread: Vec<u8>,
    /// What the handshake found wrong.
    fault: Option<String>,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Dialling(TcpStream),
    ShakingHands(SslStream<TcpStream>),
    Open(Wire),
}

enum Wire {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("gateway", &self.gateway).field("lines", &self.lines.len()).finish()
    }
}

impl Streams {
    /// Nobody is connected yet.
    ///
    /// # Errors
    /// [`Failure::Usage`] if this process may not have so many connections, [`Failure::Gateway`] if nothing listens there.
    pub(crate) fn open(gateway: SocketAddr, clients: u32, sessions: Option<Sessions>) -> Result<Self, Failure> {
        if !is_spread(gateway) && clients > PORTS {
            let why = format!("{clients} clients: towards another machine {PORTS} at most, since each needs a port");
            return Err(Failure::Usage(why));
        }
        make_room(u64::from(clients) + OTHERS)?;
        match TcpStream::connect_timeout(&gateway, PROBE) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                return Err(Failure::Gateway(format!("nothing listens at {gateway}")));
            }
            Err(error) => return Err(Failure::Gateway(format!("no way to {gateway}: {error}"))),
        }
        let mut lines = Vec::new();
        lines.resize_with(index(clients), Line::default);
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll"))?;
        Ok(Self { gateway, sessions, lines, ready, refused: Vec::new(), scratch: vec![0; READ] })
    }

    /// Begins to connect `client`.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel gives no socket.
    pub(crate) fn dial(&mut self, client: u32) -> Result<(), Failure> {
        let Some(line) = self.lines.get_mut(index(client)) else { return Ok(()) };
        *line = Line::default();
        let (descriptor, begun) = begin(self.gateway, client)?;
        match begun {
            Ok(()) | Err(Errno::EINPROGRESS) => {
                let stream = TcpStream::from(descriptor);
                // Both ways at once and once each: what is ready is used up before the next wait.
                let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                self.ready.add(&stream, EpollEvent::new(both, client.into())).map_err(failed("epoll"))?;
                line.state = State::Dialling(stream);
            }
            Err(_refused) => self.refused.push(client),
        }
        Ok(())
    }

    /// Sends `octets` from `client`, at once or as soon as they may leave. False, and nothing is taken, while octets from
    /// before wait, or without a connection.
    pub(crate) fn send(&mut self, client: u32, octets: &[u8]) -> bool {
        let Some(line) = self.lines.get_mut(index(client)).filter(|line| line.unsent.is_empty()) else { return false };
        let State::Open(wire) = &mut line.state else { return false };
        // A connection that broke is heard of as closed.
        let written = wire.write(octets).unwrap_or(octets.len());
        line.unsent.extend_from_slice(octets.get(written..).unwrap_or_default());
        true
    }

    /// Whether [`Self::send`] would take something.
    pub(crate) fn is_free(&self, client: u32) -> bool {
        let line = self.lines.get(index(client));
        line.is_some_and(|line| matches!(line.state, State::Open(_)) && line.unsent.is_empty())
    }

    /// Ends `client`'s connection; nothing more is heard of it.
    pub(crate) fn close(&mut self, client: u32) {
        if let Some(line) = self.lines.get_mut(index(client)) {
            *line = Line::default();
        }
    }

    /// Waits at most `milliseconds` for something to happen, and tells `tell` what; of octets it answers how many were
    /// consumed. True if there may be more.
    ///
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn hear(
        &mut self,
        milliseconds: u16,
        mut tell: impl FnMut(u32, Happening<'_>) -> usize,
    ) -> Result<bool, Failure> {
        for client in std::mem::take(&mut self.refused) {
            tell(client, Happening::Closed);
        }
        let mut events = [EpollEvent::empty(); BATCH];
        let ready = match self.ready.wait(&mut events, EpollTimeout::from(milliseconds)) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(Failure::Io("epoll", errno.into())),
        };
        for event in events.iter().take(ready) {
            let Ok(client) = u32::try_from(event.data()) else { continue };
            let Some(line) = self.lines.get_mut(index(client)) else { continue };
            if line.advance(self.sessions.as_ref())? {
                tell(client, Happening::Opened);
            }
            if !line.exchange(&mut self.scratch, |octets| tell(client, Happening::Octets(octets))) {
                let fault = std::mem::take(line).fault;
                tell(client, fault.as_deref().map_or(Happening::Closed, Happening::NoTls));
            }
        }
        Ok(ready == BATCH)
    }
}

impl Line {
    /// On the way to a connection: true when it is there now.
    fn advance(&mut self, sessions: Option<&Sessions>) -> Result<bool, Failure> {
        let state = match std::mem::take(&mut self.state) {
            State::Dialling(stream) => match (is_there(&stream), sessions) {
                (Ok(false), _) => State::Dialling(stream),
                (Ok(true), None) => State::Open(Wire::Plain(stream)),
                (Ok(true), Some(sessions)) => {
                    let wrapped = SslStream::new(sessions()?, stream);
                    let wrapped = wrapped.map_err(|fault| Failure::Io("TLS", fault.into()))?;
                    return self.shake_hands(wrapped);
                }
                (Err(_), _) => State::Closed,
            },
            State::ShakingHands(stream) => return self.shake_hands(stream),
            state @ (State::Closed | State::Open(_)) => {
                self.state = state;
                return Ok(false);
            }
        };
        self.state = state;
        Ok(matches!(self.state, State::Open(_)))
    }

    fn shake_hands(&mut self, mut stream: SslStream<TcpStream>) -> Result<bool, Failure> {
        match stream.connect() {
            Ok(()) => self.state = State::Open(Wire::Tls(stream)),
            Err(error) if is_wait(error.code()) => self.state = State::ShakingHands(stream),
            Err(error) => {
                self.state = State::Closed;
                self.fault = broken_off(&stream, &error);
            }
        }
        Ok(matches!(self.state, State::Open(_)))
    }

    /// Writes what waits and reads what has come. False if that was the end.
    fn exchange(&mut self, scratch: &mut [u8], mut hear: impl FnMut(&[u8]) -> usize) -> bool {
        let wire = match &mut self.state {
            State::Open(wire) => wire,
            State::Closed => return false,
            State::Dialling(_) | State::ShakingHands(_) => return true,
        };
        if !self.unsent.is_empty() {
            let Ok(written) = wire.write(&self.unsent) else { return false };
            self.unsent.drain(..written);
        }
        loop {
            match wire.read(scratch) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(None) => return true,
                Ok(Some(octets)) => {
                    let came = scratch.get(..octets).unwrap_or_default();
                    if self.unread.is_empty() {
                        let consumed = hear(came);
                        self.unread = came.get(consumed..).unwrap_or_default().to_vec();
                    } else {
                        self.unread.extend_from_slice(came);
                        let consumed = hear(&self.unread);
                        self.unread.drain(..consumed.min(self.unread.len()));
                    }
                }
            }
        }
    }
}

impl Wire {
    /// How many octets left, as far as that goes now.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while let Some(rest) = octets.get(written..).filter(|rest| !rest.is_empty()) {
            let outcome = match self {
                Self::Plain(stream) => later(stream.write(rest)),
                Self::Tls(stream) => later_in_tls(stream.ssl_write(rest)),
            };
            match outcome? {
                Some(octets) => written += octets,
                None => break,
            }
        }
        Ok(written)
    }

    /// How many octets came, 0 at the end; `None` if there are none now.
    fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Plain(stream) => later(stream.read(into)),
            Self::Tls(stream) => later_in_tls(stream.ssl_read(into)),
        }
    }
}

fn later(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

fn later_in_tls(outcome: Result<usize, openssl::ssl::Error>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(Some(0)),
        Err(error) if is_wait(error.code()) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// What the handshake found wrong; `None`: the connection ended under it.
fn broken_off(stream: &SslStream<TcpStream>, error: &openssl::ssl::Error) -> Option<String> {
    let reason = error.ssl_error()?.errors().first()?.reason()?;
    match reason {
        "unexpected eof while reading" => None,
        "certificate verify failed" => {
            Some(format!("the gateway's certificate is not trusted: {}", stream.ssl().verify_result().error_string()))
        }
        "wrong version number" | "packet length too long" => Some("what answers there does not speak TLS".to_owned()),
        _ => Some(format!("TLS: {reason}")),
    }
}

fn is_wait(code: ErrorCode) -> bool {
    code == ErrorCode::WANT_READ || code == ErrorCode::WANT_WRITE
}

/// Whether TCP has connected.
fn is_there(stream: &TcpStream) -> io::Result<bool> {
    match stream.take_error()? {
        Some(error) => Err(error),
        None => match stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        },
    }
}

/// A socket that has begun to connect, or why it cannot.
fn begin(gateway: SocketAddr, client: u32) -> Result<(OwnedFd, nix::Result<()>), Failure> {
    let family = if gateway.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(family, SockType::Stream, flags, None).map_err(failed("TCP socket"))?;
    setsockopt(&descriptor, sockopt::TcpNoDelay, &true).map_err(failed("TCP_NODELAY"))?;
    if is_spread(gateway) {
        // The port is chosen when the gateway is known, so that all of them may be used towards it.
        setsockopt(&descriptor, sockopt::IpBindAddressNoPort, &true).map_err(failed("IP_BIND_ADDRESS_NO_PORT"))?;
        let source = SocketAddrV4::new(Ipv4Addr::from(FIRST + client / PORTS), 0);
        bind(raw(&descriptor), &SockaddrIn::from(source)).map_err(failed("bind"))?;
    }
    let begun = connect(raw(&descriptor), &SockaddrStorage::from(gateway));
    Ok((descriptor, begun))
}

fn raw(descriptor: &OwnedFd) -> std::os::fd::RawFd {
    std::os::fd::AsRawFd::as_raw_fd(descriptor)
}

/// All of 127.0.0.0/8 is local, so that clients can come from many addresses of it.
fn is_spread(gateway: SocketAddr) -> bool {
    gateway.is_ipv4() && gateway.ip().is_loopback()
}

fn failed(what: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::Io(what, errno.into())
}

fn index(client: u32) -> usize {
    usize::try_from(client).unwrap_or(usize::MAX)
}

/// Clients of one address: `net.ipv4.ip_local_port_range` has 28,232 ports unless set.
const PORTS: u32 = 20_000;
/// Descriptors for everything else.
const OTHERS: u64 = 64;
/// Connections looked at in one turn.
const BATCH: usize = 256;
/// Octets read at once.
const READ: usize = 64 * 1024;
/// For the first connection, which only shows that somebody listens.
const PROBE: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests;
