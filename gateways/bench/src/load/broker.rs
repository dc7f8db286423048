//! The MQTT side: a small blocking client on the broker, as little of MQTT 3.1.1 as a run needs.
//!
//! 3.1.1, because there the broker bounds no publisher's QoS 1 window: the load is what is being measured.

use crate::failure::Failure;
use codec_mqtt::{
    Connect, Delivery, Fault, Filters, Level, Packet, PacketId, PublishOut, Qos, Secret, Subscribe, Subscription,
    Version, decode_from_server, peek,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

const VERSION: Version = Version::V311;
/// Octets of a packet that is still read.
const MAX_PACKET: u32 = 1 << 20;
/// Octets asked for in one read: a batch of some thousand messages.
const READ: usize = 256 * 1024;
/// The broker answers CONNECT and SUBSCRIBE and takes writes within this time, or the run has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection to the broker.
#[derive(Debug)]
pub(crate) struct Broker {
    stream: TcpStream,
    /// Received octets are those before `filled`.
    buffer: Vec<u8>,
    filled: usize,
    batch: Vec<u8>,
}

/// Who the broker is told it is. `Debug` shows no password.
pub(crate) struct Login {
    user_name: String,
    password: Option<String>,
}

impl Login {
    /// `None` without a user name. The password is the file's first line.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the file cannot be read.
    pub(crate) fn of(user_name: Option<&str>, password_file: Option<&Path>) -> Result<Option<Self>, Failure> {
        let first_line = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.lines().next().unwrap_or_default().to_owned()),
            Err(error) => Err(Failure::Usage(format!("{}: {error}", path.display()))),
        };
        let password = password_file.map(first_line).transpose()?;
        Ok(user_name.map(|name| Self { user_name: name.to_owned(), password }))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// What came from the broker.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Publication {
        payload: &'a [u8],
    },
    /// PUBACK.
    Acknowledged,
    Other,
}

impl Broker {
    /// Connects with a clean session and no keep alive.
    ///
    /// # Errors
    /// [`Failure::Broker`] if the broker is not there or refuses.
    pub(crate) fn connect(address: SocketAddr, client_id: &str, login: Option<&Login>) -> Result<Self, Failure> {
        let no_way = |error| Failure::Broker(format!("no connection to {address}: {error}"));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(no_way)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut broker = Self { stream, buffer: vec![0; READ * 2], filled: 0, batch: Vec::with_capacity(READ) };
        let mut connect = Connect::new(Level::V311, client_id, true, 0);
        connect.user_name = login.map(|login| login.user_name.as_str());
        connect.password = login.and_then(|login| login.password.as_ref()).map(|text| Secret(text.as_bytes()));
        broker.push(&Packet::Connect(connect))?;
        broker.flush()?;
        let reason = broker.await_packet(|packet| match packet {
            Packet::Connack(connack) => Some(connack.reason),
            _ => None,
        })?;
        if reason.is_error() { Err(Failure::Broker(format!("CONNECT refused: {reason:?}"))) } else { Ok(broker) }
    }

    /// Subscribes and waits for the answer.
    ///
    /// # Errors
    /// [`Failure::Broker`] if it is refused or does not come.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), Failure> {
        let wanted = [Subscription::new(filter, qos)];
        let filters = Filters::list(&wanted);
        let subscribe = Subscribe { packet_id: PacketId::FIRST, properties: codec_mqtt::Properties::EMPTY, filters };
        self.push(&Packet::Subscribe(subscribe))?;
        self.flush()?;
        let granted = self.await_packet(|packet| match packet {
            Packet::Suback(suback) => Some(suback.codes.iter().all(|code| !code.is_error())),
            _ => None,
        })?;
        if granted { Ok(()) } else { Err(Failure::Broker(format!("SUBSCRIBE to {filter} refused"))) }
    }

    /// Adds a publication to the batch.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a topic name or payload that MQTT cannot carry.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], delivery: Delivery) -> Result<(), Failure> {
        let publication = PublishOut { name: topic, payload, delivery, ..PublishOut::default() };
        publication.encode(VERSION, &mut self.batch).map_err(|fault| Failure::Usage(format!("PUBLISH: {fault}")))
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// [`Failure::Broker`] if the broker closed or stopped reading.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.batch).map_err(failed)?;
        self.batch.clear();
        Ok(())
    }

    /// Reads once, if something comes within `milliseconds`, and gives each whole packet to `hear`. True if something came.
    ///
    /// # Errors
    /// [`Failure::Broker`] if the broker closed or sent what is not MQTT.
    pub(crate) fn receive(&mut self, milliseconds: u16, hear: impl FnMut(&Incoming<'_>)) -> Result<bool, Failure> {
        let mut descriptors = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(Failure::Io("poll", errno.into())),
        }
        self.fill()?;
        let mut hear = hear;
        self.drain(|packet| hear(&incoming(packet)))?;
        Ok(true)
    }

    fn push(&mut self, packet: &Packet<'_>) -> Result<(), Failure> {
        packet.encode(VERSION, &mut self.batch).map_err(|fault| Failure::Usage(format!("MQTT packet: {fault}")))
    }

    fn await_packet<T>(&mut self, pick: impl Fn(&Packet<'_>) -> Option<T>) -> Result<T, Failure> {
        loop {
            self.fill()?;
            let mut picked = None;
            self.drain(|packet| picked = picked.take().or_else(|| pick(packet)))?;
            if let Some(picked) = picked {
                return Ok(picked);
            }
        }
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(free) {
            Ok(0) => Err(Failure::Broker("closed the connection".into())),
            Ok(octets) => {
                self.filled += octets;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn drain(&mut self, mut hear: impl FnMut(&Packet<'_>)) -> Result<(), Failure> {
        let mut rest = self.buffer.get(..self.filled).unwrap_or_default();
        while let Some((packet, after)) = codec_mqtt::split(rest, MAX_PACKET).map_err(not_mqtt)? {
            hear(&decode_from_server(packet, VERSION).map_err(not_mqtt)?);
            rest = after;
        }
        let (start, left) = (self.filled - rest.len(), rest.len());
        let wanted = peek(rest, MAX_PACKET).map_err(not_mqtt)?.unwrap_or(0);
        self.buffer.copy_within(start..self.filled, 0);
        self.filled = left;
        // A packet larger than the buffer must not end as a read of nothing.
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted, 0);
        }
        Ok(())
    }
}

fn incoming<'a>(packet: &Packet<'a>) -> Incoming<'a> {
    match packet {
        Packet::Publish(publish) => Incoming::Publication { payload: publish.payload },
        Packet::Puback(_) => Incoming::Acknowledged,
        _ => Incoming::Other,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: std::io::Error) -> Failure {
    Failure::Broker(error.to_string())
}

fn not_mqtt(fault: Fault) -> Failure {
    Failure::Broker(format!("not MQTT: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::{Sender, channel};

    /// A broker that takes one connection, answers CONNECT, and then writes `pieces`, one each time it is told to.
    fn scripted(pieces: Vec<Vec<u8>>) -> (SocketAddr, Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go, told) = channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            assert!(stream.read(&mut [0; 256]).unwrap() > 0);
            stream.write_all(&[0x20, 2, 0, 0]).unwrap();
            for (piece, ()) in pieces.iter().zip(told) {
                stream.write_all(piece).unwrap();
            }
        });
        (address, go)
    }

    fn publication(payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PublishOut { name: "t", payload, ..PublishOut::default() }.encode(VERSION, &mut packet).unwrap();
        packet
    }

    #[test]
    fn packets_are_whole_however_the_stream_is_cut() {
        // The last is larger than the buffer.
        let payloads = [b"one".to_vec(), vec![7; 300], Vec::new(), vec![9; READ * 3]];
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| publication(payload)).collect();
        let pieces = [0..1, 1..9, 9..12, 12..200, 200..400, 400..stream.len()].map(|range| stream[range].to_vec());
        let (address, go) = scripted(pieces.to_vec());
        let mut broker = Broker::connect(address, "test", None).unwrap();
        let mut heard = Vec::new();
        while heard.len() < payloads.len() {
            let _it_has_written_all = go.send(());
            let came = broker.receive(5000, |incoming| {
                if let Incoming::Publication { payload } = incoming {
                    heard.push(payload.to_vec());
                }
            });
            assert!(came.unwrap(), "silence after {} packets", heard.len());
        }
        assert_eq!(heard, payloads);
        assert!(matches!(broker.receive(5000, |_| ()), Err(Failure::Broker(_))), "the close is reported");
    }

    #[test]
    fn a_login_never_shows_its_password() {
        let file = std::env::temp_dir().join(format!("tidegate-bench-{}", std::process::id()));
        std::fs::write(&file, "hush\nmore\n").unwrap();
        let login = Login::of(Some("me"), Some(&file)).unwrap().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(login.password.as_deref(), Some("hush"));
        assert!(!format!("{login:?}").contains("hush"), "{login:?}");
        assert!(matches!(Login::of(Some("me"), Some(&file)), Err(Failure::Usage(_))), "the file is gone");
        assert!(Login::of(None, None).unwrap().is_none());
    }

    #[test]
    fn what_is_not_mqtt_ends_the_run() {
        let (address, go) = scripted(vec![vec![0xFF; 8]]);
        let mut broker = Broker::connect(address, "test", None).unwrap();
        go.send(()).unwrap();
        assert!(matches!(broker.receive(5000, |_| ()), Err(Failure::Broker(_))));
    }
}
