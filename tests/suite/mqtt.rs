//! An MQTT 5 client that is not ours.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{Client, Event, MqttOptions};

use crate::process::PATIENCE;

/// A message as the broker delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// A connected client.
pub(crate) struct MqttClient {
    client: Client,
    heard: Receiver<Heard>,
    /// Came while something else was waited for.
    early: Vec<Message>,
}

#[derive(Debug)]
enum Heard {
    Connected,
    Subscribed,
    /// PUBACK, PUBCOMP.
    Published,
    Message(Message),
}

impl MqttClient {
    /// Connects to this port of this machine, without a session.
    pub(crate) fn connect(name: &str, port: u16) -> Self {
        Self::with(MqttOptions::new(name, "127.0.0.1", port))
    }

    /// The same with a user name and a password.
    pub(crate) fn connect_as(name: &str, port: u16, username: &str, password: &str) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_credentials(username, password);
        Self::with(options)
    }

    fn with(mut options: MqttOptions) -> Self {
        options.set_clean_start(true).set_keep_alive(Duration::from_secs(60));
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut connection) = Client::new(options, 10_000);
        let (sender, heard) = channel();
        thread::spawn(move || {
            // The end of the connection is the end of the client: it does not come back by itself.
            for event in connection.iter().map_while(Result::ok) {
                let heard = match event {
                    Event::Incoming(Packet::ConnAck(_)) => Heard::Connected,
                    Event::Incoming(Packet::SubAck(_)) => Heard::Subscribed,
                    Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Heard::Published,
                    Event::Incoming(Packet::Publish(publish)) => Heard::Message(Message {
                        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                        payload: String::from_utf8_lossy(&publish.payload).into_owned(),
                        qos: publish.qos as u8,
                        retain: publish.retain,
                    }),
                    _ => continue,
                };
                if sender.send(heard).is_err() {
                    return;
                }
            }
        });
        let mut this = Self { client, heard, early: Vec::new() };
        this.until(|heard| matches!(heard, Heard::Connected));
        this
    }

    /// Subscribes with QoS 0, 1 or 2, and waits for the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, level: u8) {
        // Retain As Published, so that a test sees the flag as it was sent.
        let mut filter = Filter::new(filter, qos(level));
        filter.preserve_retain = true;
        self.client.subscribe_many([filter]).expect("the client lives");
        self.until(|heard| matches!(heard, Heard::Subscribed));
    }

    /// Publishes with QoS 1, and waits for the PUBACK.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload.to_owned()).expect("the client lives");
        self.until(|heard| matches!(heard, Heard::Published));
    }

    /// The next message.
    pub(crate) fn message(&mut self) -> Message {
        if !self.early.is_empty() {
            return self.early.remove(0);
        }
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Heard::Message(message)) => message,
            Ok(_) => self.message(),
            Err(fault) => panic!("no message: {fault}"),
        }
    }

    fn until(&mut self, wanted: impl Fn(&Heard) -> bool) {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(heard) if wanted(&heard) => return,
                Ok(Heard::Message(message)) => self.early.push(message),
                Ok(_) => {}
                Err(fault) => panic!("no answer: {fault}"),
            }
        }
    }
}

const fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
