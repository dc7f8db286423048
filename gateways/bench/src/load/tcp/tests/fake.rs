//! A gateway and a broker in one: just enough of both for a load, with faults on demand.

use codec_mqtt::{Connack, Packet, PublishOut, ReasonCode, ReasonCodes, Version};
use codec_rawtcp::{FromDevice, FromGateway, ReturnCode, Turn};
use openssl::ssl::SslAcceptor;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Each is "every how many-th"; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) refuse_connect: u64,
    /// Accepted by the kernel and closed.
    pub(super) close_connect: u64,
    /// Both ways, and this the next.
    pub(super) drop_data: u64,
    pub(super) double_data: u64,
    /// It answers nobody any more once it has taken this many CONNECT.
    pub(super) mute_after_connects: Option<u64>,
    /// It closes the connection of whoever sends after this many messages.
    pub(super) close_after_data: Option<u64>,
    /// Devices that nothing is delivered to.
    pub(super) deaf: u64,
    /// Devices speak lines.
    pub(super) lines: bool,
}

pub(super) struct Fake {
    pub(super) gateway: SocketAddr,
    pub(super) broker: SocketAddr,
    state: Arc<State>,
}

struct State {
    faults: Faults,
    tls: Option<SslAcceptor>,
    /// Connections of MQTT subscribers.
    subscribers: Mutex<Vec<TcpStream>>,
    /// Devices by client id.
    devices: Mutex<BTreeMap<String, TcpStream>>,
    /// User names, in the order of CONNECT.
    users: Mutex<Vec<Option<String>>>,
    connects: AtomicU64,
    left: AtomicU64,
    data: AtomicU64,
    deliveries: AtomicU64,
    reads: AtomicU64,
    stop: AtomicBool,
}

impl Fake {
    pub(super) fn start(faults: Faults) -> Self {
        Self::start_with(faults, None)
    }

    /// Devices come in TLS if there is an acceptor.
    pub(super) fn start_with(faults: Faults, tls: Option<SslAcceptor>) -> Self {
        let state = Arc::new(State {
            faults,
            tls,
            subscribers: Mutex::default(),
            devices: Mutex::default(),
            users: Mutex::default(),
            connects: AtomicU64::new(0),
            left: AtomicU64::new(0),
            data: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let gateway = serve(&state, |state, stream| state.serve_device(stream));
        let broker = serve(&state, |state, stream| state.serve_client(&stream));
        Self { gateway, broker, state }
    }

    pub(super) fn left(&self) -> u64 {
        self.state.left.load(Ordering::Relaxed)
    }

    pub(super) fn users(&self) -> Vec<Option<String>> {
        self.state.users.lock().unwrap().clone()
    }

    /// Reads that brought messages of devices.
    pub(super) fn reads(&self) -> u64 {
        self.state.reads.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the listeners; if that fails, they have ended already.
        drop((TcpStream::connect(self.broker), TcpStream::connect(self.gateway)));
    }
}

fn serve(state: &Arc<State>, serve: fn(&State, TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, state) = (listener.local_addr().unwrap(), Arc::clone(state));
    thread::spawn(move || {
        for stream in listener.incoming() {
            if state.stop.load(Ordering::Relaxed) {
                return;
            }
            let (state, stream) = (Arc::clone(&state), stream.unwrap());
            thread::spawn(move || serve(&state, stream));
        }
    });
    address
}

/// Whether the `number`-th, from 1, is an `every`-th.
const fn strikes(number: u64, every: u64) -> bool {
    every != 0 && number.is_multiple_of(every)
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

trait Octets: Read + Write {}
impl<T: Read + Write> Octets for T {}

impl State {
    fn serve_device(&self, stream: TcpStream) {
        let raw = stream.try_clone().unwrap();
        let mut stream: Box<dyn Octets> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => match tls.accept(stream) {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
        };
        let (mut received, mut chunk, mut turn) = (Vec::new(), vec![0; 65_536], Turn::First);
        loop {
            // A device that is cut off may be told so by a reset.
            let Ok(octets @ 1..) = stream.read(&mut chunk) else { return };
            received.extend_from_slice(&chunk[..octets]);
            self.reads.fetch_add(u64::from(turn == Turn::Connected), Ordering::Relaxed);
            let mut answers = Vec::new();
            let goes_on = loop {
                let Some((frame, size)) = self.frame(&received, turn) else { break true };
                turn = Turn::Connected;
                let goes_on = self.on_frame(&frame, &raw, &mut answers);
                received.drain(..size);
                if !goes_on {
                    break false;
                }
            };
            if stream.write_all(&answers).is_err() || !goes_on {
                // TLS devices get their end without a goodbye.
                drop(raw.shutdown(Shutdown::Both));
                return;
            }
        }
    }

    /// As if it had come in EMQ X's frames, owned.
    fn frame(&self, received: &[u8], turn: Turn) -> Option<(Frame, usize)> {
        if self.faults.lines {
            let end = received.iter().position(|octet| *octet == b'\n')?;
            let line = received[..end].to_vec();
            let frame = match turn {
                Turn::First => Frame::Connect(String::from_utf8(line).unwrap(), None),
                Turn::Connected => Frame::Data(line),
            };
            return Some((frame, end + 1));
        }
        let (frame, size) = FromDevice::decode(received, turn, usize::MAX).unwrap()?;
        let frame = match frame {
            FromDevice::Connect(connect) => Frame::Connect(connect.client_id.into(), connect.username.map(Into::into)),
            FromDevice::Data(payload) => Frame::Data(payload.to_vec()),
            FromDevice::Ping => Frame::Ping,
            FromDevice::Disconnect => Frame::Disconnect,
        };
        Some((frame, size))
    }

    /// False if that is the end of the connection.
    fn on_frame(&self, frame: &Frame, stream: &TcpStream, answers: &mut Vec<u8>) -> bool {
        match frame {
            Frame::Connect(client_id, user) => {
                let number = count(&self.connects);
                self.users.lock().unwrap().push(user.clone());
                if self.is_mute() {
                    return true;
                }
                if strikes(number, self.faults.close_connect) {
                    return false;
                }
                let is_refused = strikes(number, self.faults.refuse_connect);
                let code = if is_refused { ReturnCode::AuthFailed } else { ReturnCode::Accepted };
                if !self.faults.lines {
                    FromGateway::Connack { code, message: "Connect" }.encode(answers).unwrap();
                }
                if !strikes(number, self.faults.deaf) {
                    self.devices.lock().unwrap().insert(client_id.clone(), stream.try_clone().unwrap());
                }
                !is_refused
            }
            Frame::Data(payload) => self.on_data(payload),
            Frame::Ping if !self.is_mute() => FromGateway::Pong.encode(answers).map(|()| true).unwrap(),
            Frame::Ping => true,
            Frame::Disconnect => {
                self.left.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn is_mute(&self) -> bool {
        self.faults.mute_after_connects.is_some_and(|last| self.connects.load(Ordering::Relaxed) > last)
    }

    fn on_data(&self, payload: &[u8]) -> bool {
        let number = count(&self.data);
        if self.faults.close_after_data.is_some_and(|last| number > last) {
            return false;
        }
        if strikes(number, self.faults.drop_data) {
            return true;
        }
        let mut packet = Vec::new();
        for _ in 0..=u8::from(strikes(number, self.faults.double_data)) {
            PublishOut { name: "any", payload, ..PublishOut::default() }.encode(Version::V311, &mut packet).unwrap();
        }
        // A subscriber of an earlier run is gone.
        self.subscribers.lock().unwrap().retain(|mut stream| stream.write_all(&packet).is_ok());
        true
    }

    fn serve_client(&self, mut stream: &TcpStream) {
        let (mut received, mut chunk) = (Vec::new(), vec![0; 65_536]);
        loop {
            let Ok(octets @ 1..) = stream.read(&mut chunk) else { return };
            received.extend_from_slice(&chunk[..octets]);
            let mut answers = Vec::new();
            while let Some(len) = codec_mqtt::peek(&received, 1 << 20).unwrap().filter(|len| *len <= received.len()) {
                let packet: Vec<u8> = received.drain(..len).collect();
                self.on_packet(&codec_mqtt::decode(&packet, Version::V311).unwrap(), stream, &mut answers);
            }
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
    }

    fn on_packet(&self, packet: &Packet<'_>, stream: &TcpStream, answers: &mut Vec<u8>) {
        let properties = codec_mqtt::Properties::EMPTY;
        let answer = match packet {
            Packet::Connect(_) => {
                Packet::Connack(Connack { session_present: false, reason: ReasonCode::SUCCESS, properties })
            }
            Packet::Subscribe(subscribe) => {
                self.subscribers.lock().unwrap().push(stream.try_clone().unwrap());
                let codes = ReasonCodes::new(&[0]);
                Packet::Suback(codec_mqtt::Suback { packet_id: subscribe.packet_id, properties, codes })
            }
            Packet::Publish(publish) => {
                self.deliver(publish.topic, publish.payload);
                let Some(packet_id) = publish.delivery.packet_id() else { return };
                Packet::Puback(codec_mqtt::Ack::new(packet_id))
            }
            other => panic!("{other:?}"),
        };
        answer.encode(Version::V311, answers).unwrap();
    }

    /// To the device that the middle level of `tcp/<client id>/dn` names.
    fn deliver(&self, topic: &str, payload: &[u8]) {
        let client_id = topic.split('/').nth(1).unwrap();
        // What only asks whether somebody hears it is no load.
        let number = if payload.len() < 24 { 0 } else { count(&self.deliveries) };
        if number > 0 && strikes(number, self.faults.drop_data) {
            return;
        }
        let mut frame = Vec::new();
        for _ in 0..=u8::from(number > 0 && strikes(number, self.faults.double_data)) {
            if self.faults.lines {
                frame.extend_from_slice(&[payload, b"\n"].concat());
            } else {
                FromGateway::Data(payload).encode(&mut frame).unwrap();
            }
        }
        if let Some(device) = self.devices.lock().unwrap().get_mut(client_id) {
            // It may have gone.
            drop(device.write_all(&frame));
        }
    }
}

enum Frame {
    Connect(String, Option<String>),
    Data(Vec<u8>),
    Ping,
    Disconnect,
}
