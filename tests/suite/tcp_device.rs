//! A small blocking device of the raw TCP gateway. It writes and reads its frames octet by octet, and knows no code of ours.

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::process::PATIENCE;

/// CONNACK of a device that comes in.
pub(crate) const WELCOME: &[u8] = b"\x20\x00\x14Connect Successfully";

/// Whatever octets go through.
pub(crate) trait Wire: Read + Write + Debug {}

impl<T: Read + Write + Debug> Wire for T {}

/// One device on one connection.
#[derive(Debug)]
pub(crate) struct TcpDevice {
    wire: Box<dyn Wire>,
}

/// A frame of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Type and flags.
    pub(crate) head: u8,
    /// Empty in frames that have none.
    pub(crate) payload: Vec<u8>,
}

/// A plain connection whose reads end by themselves.
pub(crate) fn connection(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// A text with its length before it.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// CONNECT with what follows the keepalive.
pub(crate) fn connect_frame(keepalive: u8, fields: &[&str]) -> Vec<u8> {
    let fields: Vec<u8> = fields.iter().flat_map(|field| text(field)).collect();
    let length = u16::try_from(fields.len() + 1).unwrap().to_be_bytes();
    [&[0x10], &length[..], &[keepalive], &fields].concat()
}

/// DATATRANS.
pub(crate) fn data_frame(payload: &str) -> Vec<u8> {
    [&[0x30][..], &text(payload)].concat()
}

impl TcpDevice {
    /// A connection that has said nothing.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::over(connection(address))
    }

    /// Over any other connection.
    pub(crate) fn over(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire) }
    }

    /// A device that has come in, with a keepalive of a minute.
    pub(crate) fn connect(address: SocketAddr, id: &str) -> Self {
        let mut device = Self::new(address);
        device.enter(&[id]);
        device
    }

    /// CONNECT with these texts, and the welcome.
    pub(crate) fn enter(&mut self, fields: &[&str]) {
        self.write(&connect_frame(60, fields));
        let mut answer = vec![0; WELCOME.len()];
        self.wire.read_exact(&mut answer).expect("a CONNACK in time");
        assert_eq!(answer, WELCOME, "{:?}", String::from_utf8_lossy(&answer));
    }

    /// CONNECT with these texts, what a refusal says, and that the connection ends after it.
    pub(crate) fn refused(&mut self, fields: &[&str]) -> (u8, String) {
        self.write(&connect_frame(60, fields));
        let Frame { head, payload } = self.frame().expect("a CONNACK");
        assert!(self.is_closed(), "it is closed after a refusal");
        (head, String::from_utf8(payload).unwrap())
    }

    /// Octets as they are. The gateway may have hung up.
    pub(crate) fn write(&mut self, octets: &[u8]) {
        drop(self.wire.write_all(octets).and_then(|()| self.wire.flush()));
    }

    /// DATATRANS.
    pub(crate) fn publish(&mut self, payload: &str) {
        self.write(&data_frame(payload));
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let [head] = self.read()?;
        let payload = match head >> 4 {
            2 | 3 => {
                let length: [u8; 2] = self.read().expect("a length");
                let mut payload = vec![0; u16::from_be_bytes(length).into()];
                self.wire.read_exact(&mut payload).expect("a payload");
                payload
            }
            _ => Vec::new(),
        };
        Some(Frame { head, payload })
    }

    /// The payload of the next frame, which is a DATATRANS.
    pub(crate) fn message(&mut self) -> String {
        let frame = self.frame().expect("a DATATRANS");
        assert_eq!(frame.head, 0x30);
        String::from_utf8(frame.payload).unwrap()
    }

    /// PING, and PONG as the next frame.
    pub(crate) fn ping(&mut self) {
        self.write(&[0x40]);
        assert_eq!(self.frame(), Some(Frame { head: 0x50, payload: Vec::new() }));
    }

    /// The connection ends next, in whatever way.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.frame().is_none()
    }

    fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut octets = [0; N];
        match self.wire.read_exact(&mut octets) {
            Ok(()) => Some(octets),
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => panic!("silence"),
            Err(_ended) => None,
        }
    }
}
