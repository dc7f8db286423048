//! An MQTT 5.0 and 3.1.1 broker without socket and clock, and a strict one: where a real broker would close the
//! connection of a client that breaks the protocol, this one panics and says what was broken.
//!
//! Connections are numbers that the test chooses; octets go in with [`SimBroker::receive`] and come out with
//! [`SimBroker::take_output`]. Without a clock nothing expires by itself: keep alives are not enforced, sessions with a
//! Session Expiry Interval stay until [`SimBroker::crash`], and a will with a delay waits for
//! [`SimBroker::elapse_will_delays`].
//!
//! ```
//! use codec_mqtt::{Connect, Level, Packet, PublishOut, Version};
//! use support::broker::SimBroker;
//!
//! let mut broker = SimBroker::default();
//! broker.connect(1);
//! let mut bytes = Vec::new();
//! Packet::Connect(Connect::new(Level::V5, "lamp", true, 60)).encode(Version::V5, &mut bytes)?;
//! PublishOut { name: "lamp/state", payload: b"on", ..PublishOut::default() }.encode(Version::V5, &mut bytes)?;
//! broker.receive(1, &bytes);
//! assert_eq!(broker.take_output(1), [0x20, 3, 0, 0, 0]);
//! assert_eq!((broker.accepted()[0].topic.as_str(), broker.accepted()[0].client.as_str()), ("lamp/state", "lamp"));
//! # Ok::<(), codec_mqtt::EncodeFault>(())
//! ```

mod acks;
mod connection;
mod deliver;
mod matching;
mod message;
mod options;
mod publishing;
mod session;
mod subscribing;
#[cfg(test)]
mod tests;

pub use matching::matches;
pub use message::{Accepted, Message, MessageProperties};
pub use options::{Crash, Options, RefuseV5};

use codec_mqtt::{Disconnect, Packet, ReasonCode, split};
use connection::Connection;
use session::Session;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The broker. Everything it does follows from the calls and the seed of [`Options::seed`].
#[derive(Debug)]
pub struct SimBroker {
    options: Options,
    up: bool,
    connections: BTreeMap<u64, Connection>,
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Arc<Message>>,
    accepted: Vec<Accepted>,
    /// Group and filter of a shared subscription: whose turn it is.
    turns: BTreeMap<(String, String), usize>,
    named: u64,
    random: u64,
}

impl Default for SimBroker {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl SimBroker {
    /// A broker that is up and knows nobody.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        let random = options.seed;
        Self {
            options,
            up: true,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            accepted: Vec::new(),
            turns: BTreeMap::new(),
            named: 0,
            random,
        }
    }

    /// What it does from now on; what CONNACK announced to earlier connections stays in force for them.
    pub const fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// A client's network connection arrives; false while the broker is down: connection refused.
    ///
    /// # Panics
    /// When the number is in use.
    pub fn connect(&mut self, conn: u64) -> bool {
        if self.up {
            let before = self.connections.insert(conn, Connection::default());
            assert!(before.is_none(), "connection number {conn} is in use");
        }
        self.up
    }

    /// Octets from the client, cut anywhere. Those for a connection that is gone are lost, as on a network.
    ///
    /// # Panics
    /// When the client breaks the protocol.
    pub fn receive(&mut self, conn: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn).filter(|connection| connection.open) else { return };
        connection.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut connection.input);
        let mut rest = &input[..];
        while let Some(connection) = self.connections.get(&conn).filter(|connection| connection.open) {
            match split(rest, connection.our_packet_limit) {
                Ok(Some((packet, tail))) => {
                    self.handle(conn, packet);
                    rest = tail;
                }
                Ok(None) => break,
                Err(fault) => connection.violation(conn, &format!("{fault:?}")),
            }
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.input = rest.to_vec();
        }
    }

    /// Octets for the client. Only now can it know the acknowledgements among them: their packet ids become free.
    pub fn take_output(&mut self, conn: u64) -> Vec<u8> {
        self.connections.get_mut(&conn).map(Connection::take_output).unwrap_or_default()
    }

    /// Whether [`Self::take_output`] would bring anything.
    #[must_use]
    pub fn has_output(&self, conn: u64) -> bool {
        self.connections.get(&conn).is_some_and(|connection| !connection.output.is_empty())
    }

    /// False when the broker has closed the connection, once its output is taken, or does not know it.
    #[must_use]
    pub fn is_open(&self, conn: u64) -> bool {
        self.connections.get(&conn).is_some_and(|connection| connection.open || !connection.output.is_empty())
    }

    /// The network connection is lost, or the client has closed it: without a DISCONNECT before, the will is published.
    pub fn disconnect(&mut self, conn: u64) {
        self.end(conn, true);
        self.connections.remove(&conn);
    }

    /// Stops answering: every connection ends without a word and without a will; sessions and retained messages stay.
    pub fn set_down(&mut self) {
        self.crash(Crash { keep_sessions: true, keep_retained: true });
    }

    /// Accepts connections again.
    pub const fn set_up(&mut self) {
        self.up = true;
    }

    /// Whether it accepts connections.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// As [`Self::set_down`], and forgets what `crash` does not keep. Output not yet taken is lost.
    pub fn crash(&mut self, crash: Crash) {
        self.up = false;
        for conn in self.connections.keys().copied().collect::<Vec<_>>() {
            self.end(conn, false);
        }
        self.connections.clear();
        if !crash.keep_sessions {
            self.sessions.clear();
            self.turns.clear();
        }
        if self.options.forget_clean_starts {
            self.sessions.retain(|_, session| !session.began_clean);
        }
        if !crash.keep_retained {
            self.retained.clear();
        }
    }

    /// Closes a client's connection with a DISCONNECT (5.0 only) that says `reason`; its will is published.
    pub fn kick(&mut self, client: &str, reason: ReasonCode) {
        if let Some(conn) = self.sessions.get(client).and_then(|session| session.conn) {
            self.close(conn, Some(reason));
        }
    }

    /// Every message it took responsibility for, in order: wills too, its own publications not.
    #[must_use]
    pub fn accepted(&self) -> &[Accepted] {
        &self.accepted
    }

    /// [`Self::accepted`], which is empty afterwards.
    pub fn take_accepted(&mut self) -> Vec<Accepted> {
        std::mem::take(&mut self.accepted)
    }

    /// Publishes by itself, as if a client that nobody else is had done so.
    pub fn publish(&mut self, message: Message) {
        self.route("", &Arc::new(message));
    }

    /// The retained message of a topic.
    #[must_use]
    pub fn retained(&self, topic: &str) -> Option<&Message> {
        self.retained.get(topic).map(Arc::as_ref)
    }

    /// The filters that a client is subscribed to, `$share/…` ones whole; none without a session.
    pub fn filters(&self, client: &str) -> impl Iterator<Item = &str> {
        self.sessions.get(client).into_iter().flat_map(Session::filters)
    }

    /// Whether a session exists for a client id, connected or not.
    #[must_use]
    pub fn has_session(&self, client: &str) -> bool {
        self.sessions.contains_key(client)
    }

    /// Seconds, of the last CONNECT of a client that has a session; 0 is none.
    #[must_use]
    pub fn keep_alive(&self, client: &str) -> Option<u16> {
        self.sessions.get(client).map(|session| session.keep_alive)
    }

    /// Publications of QoS 1 and 2 that a client's session still holds: not yet sent or not yet acknowledged.
    #[must_use]
    pub fn undelivered(&self, client: &str) -> usize {
        self.sessions.get(client).map_or(0, Session::undelivered)
    }

    /// Publishes the wills that wait for their delay.
    pub fn elapse_will_delays(&mut self) {
        let due: Vec<_> =
            self.sessions.iter_mut().filter_map(|(client, s)| Some((client.clone(), s.delayed_will.take()?))).collect();
        for (client, will) in due {
            self.accept_will(&client, will);
        }
    }

    /// Ends a connection from our side: DISCONNECT with `reason` where the version has it, then closed.
    fn close(&mut self, conn: u64, reason: Option<ReasonCode>) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            match reason {
                Some(reason) if connection.is_v5() => connection.send(&Packet::Disconnect(Disconnect::new(reason))),
                _ => {}
            }
        }
        self.end(conn, true);
    }

    /// The connection is over; its session lives on, when it may.
    fn end(&mut self, conn: u64, with_will: bool) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.open = false;
        let will = connection.will.take().filter(|_| with_will);
        let Some(client) = connection.client.take() else { return };
        let Some(session) = self.sessions.get_mut(&client) else { return };
        session.conn = None;
        let ends = session.expiry == 0;
        let delayed = will.as_ref().is_some_and(|will| will.delayed) && !ends;
        if delayed {
            session.delayed_will = will;
        } else if let Some(will) = will {
            self.accept_will(&client, will);
        }
        if ends {
            self.sessions.remove(&client);
        }
    }

    /// True `per_mille` times in a thousand, by the seed (SplitMix64).
    const fn chance(&mut self, per_mille: u64) -> bool {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % 1000 < per_mille
    }
}
