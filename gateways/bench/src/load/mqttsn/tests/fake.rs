//! A gateway and a broker in one: just enough of both for a load, with faults on demand.

use codec_mqtt::{Connack, Packet, PublishOut, ReasonCode, ReasonCodes, Version};
use codec_mqttsn::{Ack, Message, MsgId, Publish, Qos, ReturnCode, Suback, Topic, TopicId, decode};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Each is "every how many-th"; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) drop_connect: u64,
    pub(super) refuse_connect: u64,
    /// Both ways, and this the next.
    pub(super) drop_publish: u64,
    pub(super) double_publish: u64,
    /// Acknowledged to the device and not forwarded.
    pub(super) embezzle: u64,
    /// It answers nobody any more once it has taken this many CONNECT.
    pub(super) mute_after_connects: Option<u64>,
    /// The same after this many PUBLISH, in either direction, of which the next goes nowhere.
    pub(super) mute_after_publishes: Option<u64>,
    /// The broker closes all connections after this many PUBLISH of devices, of which the next goes nowhere.
    pub(super) cut_after_publishes: Option<u64>,
    /// It ends the session of whoever publishes after this many PUBLISH.
    pub(super) disconnect_after_publishes: Option<u64>,
}

pub(super) struct Fake {
    pub(super) gateway: SocketAddr,
    pub(super) broker: SocketAddr,
    state: Arc<State>,
}

struct State {
    faults: Faults,
    socket: UdpSocket,
    /// Connections of MQTT subscribers.
    subscribers: Mutex<Vec<TcpStream>>,
    /// Devices by the topic name they subscribed to.
    devices: Mutex<BTreeMap<String, Vec<(SocketAddr, Qos)>>>,
    connects: AtomicU64,
    connected: AtomicU64,
    publishes: AtomicU64,
    deliveries: AtomicU64,
    is_mute: AtomicBool,
    stop: AtomicBool,
}

impl Fake {
    pub(super) fn start(faults: Faults) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (gateway, broker) = (socket.local_addr().unwrap(), listener.local_addr().unwrap());
        let state = Arc::new(State {
            faults,
            socket,
            subscribers: Mutex::default(),
            devices: Mutex::default(),
            connects: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            publishes: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            is_mute: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || serving.serve_devices());
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (serving, stream) = (Arc::clone(&serving), stream.unwrap());
                std::thread::spawn(move || serving.serve_client(&stream));
            }
        });
        Self { gateway, broker, state }
    }

    pub(super) fn connected(&self) -> u64 {
        self.state.connected.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the listener; if that fails, it has ended already.
        drop(TcpStream::connect(self.broker));
    }
}

/// Whether the `number`-th, from 1, is an `every`-th.
const fn strikes(number: u64, every: u64) -> bool {
    every != 0 && number.is_multiple_of(every)
}

impl State {
    fn serve_devices(&self) {
        let mut datagram = [0; 2048];
        // Names are not kept by id: the forwarded topic name does not matter to a wildcard subscriber.
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.socket.recv_from(&mut datagram) else { continue };
            match decode(&datagram[..len]).unwrap().message {
                Message::Connect(_) => self.on_connect(from),
                Message::Register(register) => {
                    let (topic_id, msg_id) = (TopicId(1025), register.msg_id);
                    self.send(from, &Message::Regack(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
                }
                Message::Subscribe(subscribe) => {
                    let codec_mqttsn::Filter::Name(name) = subscribe.filter else { panic!("{subscribe:?}") };
                    self.devices.lock().unwrap().entry(name.into()).or_default().push((from, subscribe.qos));
                    let (qos, msg_id) = (subscribe.qos, subscribe.msg_id);
                    let suback = Suback { qos, topic_id: TopicId(1025), msg_id, code: ReturnCode::Accepted };
                    self.send(from, &Message::Suback(suback));
                }
                Message::Publish(publish) => self.on_publish(from, &publish),
                Message::Pubrel { msg_id } => self.send(from, &Message::Pubcomp { msg_id }),
                Message::SearchGw { .. } => {
                    self.send(from, &Message::GwInfo { gateway: codec_mqttsn::GatewayId(1), address: &[] });
                }
                Message::Pingreq { .. } => self.send(from, &Message::Pingresp),
                Message::Disconnect { .. } => {
                    self.devices
                        .lock()
                        .unwrap()
                        .values_mut()
                        .for_each(|list| list.retain(|(address, _)| *address != from));
                    self.send(from, &Message::Disconnect { duration: None });
                }
                Message::Puback(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn fall_silent(&self, now: bool) {
        self.is_mute.fetch_or(now, Ordering::Relaxed);
    }

    fn on_connect(&self, from: SocketAddr) {
        let number = self.connects.fetch_add(1, Ordering::Relaxed) + 1;
        self.fall_silent(self.faults.mute_after_connects.is_some_and(|last| number > last));
        let strikes = |every| strikes(number, every);
        if strikes(self.faults.drop_connect) {
            return;
        }
        let code = if strikes(self.faults.refuse_connect) { ReturnCode::Congestion } else { ReturnCode::Accepted };
        self.connected.fetch_add(u64::from(code == ReturnCode::Accepted), Ordering::Relaxed);
        self.send(from, &Message::Connack { code });
    }

    fn on_publish(&self, from: SocketAddr, publish: &Publish<'_>) {
        let number = self.publishes.fetch_add(1, Ordering::Relaxed) + 1;
        let strikes = |every| strikes(number, every);
        let is_after = |last: Option<u64>| last.is_some_and(|last| number > last);
        self.fall_silent(is_after(self.faults.mute_after_publishes));
        if is_after(self.faults.disconnect_after_publishes) {
            return self.send(from, &Message::Disconnect { duration: None });
        }
        if is_after(self.faults.cut_after_publishes) {
            let close = |stream: TcpStream| drop(stream.shutdown(std::net::Shutdown::Both));
            return self.subscribers.lock().unwrap().drain(..).for_each(close);
        }
        if strikes(self.faults.drop_publish) || self.is_mute.load(Ordering::Relaxed) {
            return;
        }
        let mut packet = Vec::new();
        let publication = PublishOut { name: "any", payload: publish.payload, ..PublishOut::default() };
        let copies = if strikes(self.faults.embezzle) { 0 } else { 1 + u8::from(strikes(self.faults.double_publish)) };
        for _ in 0..copies {
            publication.encode(Version::V311, &mut packet).unwrap();
        }
        // A subscriber of an earlier run is gone.
        self.subscribers.lock().unwrap().retain(|mut stream| stream.write_all(&packet).is_ok());
        let msg_id = publish.msg_id;
        match publish.qos {
            Qos::AtMostOnce | Qos::MinusOne => {}
            Qos::AtLeastOnce => {
                let Topic::Normal(topic_id) = publish.topic else {
                    return self.send(
                        from,
                        &Message::Puback(Ack { topic_id: TopicId(0), msg_id, code: ReturnCode::Accepted }),
                    );
                };
                self.send(from, &Message::Puback(Ack { topic_id, msg_id, code: ReturnCode::Accepted }));
            }
            Qos::ExactlyOnce => self.send(from, &Message::Pubrec { msg_id }),
        }
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

    fn deliver(&self, topic: &str, payload: &[u8]) {
        for (device, qos) in self.devices.lock().unwrap().get(topic).into_iter().flatten() {
            let publish = Publish {
                dup: false,
                qos: *qos,
                retain: false,
                topic: Topic::Normal(TopicId(1025)),
                msg_id: MsgId(u16::from(*qos != Qos::AtMostOnce)),
                payload,
            };
            let number = self.deliveries.fetch_add(1, Ordering::Relaxed) + 1;
            self.fall_silent(self.faults.mute_after_publishes.is_some_and(|last| number > last));
            let strikes = |every| strikes(number, every);
            if strikes(self.faults.drop_publish) {
                continue;
            }
            for _ in 0..=u8::from(strikes(self.faults.double_publish)) {
                self.send(*device, &Message::Publish(publish));
            }
        }
    }

    fn send(&self, to: SocketAddr, message: &Message<'_>) {
        if self.is_mute.load(Ordering::Relaxed) {
            return;
        }
        let mut datagram = Vec::new();
        message.encode(&mut datagram).unwrap();
        self.socket.send_to(&datagram, to).unwrap();
    }
}
