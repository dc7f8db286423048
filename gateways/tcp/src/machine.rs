//! The machine: what comes over a connection finds its state, and the state its rule.

use crate::base::{Base, Rules};
use crate::commands::Commander;
use crate::connection::{Block, Connection, State};
use crate::connections::Connections;
use crate::counts::Count;
use crate::lingering::Lingering;
use crate::place::TcpSettings;
use bridge_core::ask::{Answer, Ask};
use bridge_core::downlink::Downlink;
use bridge_core::live::Live;
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::meter::Meter;
use bridge_core::peer::{Peer, Proven, ShardId};
use bridge_core::slab::Key;
use bridge_core::streams::{CloseReason, ConnRef};
use bridge_core::time::Deadline;
use bridge_core::uplink::{Ending, Refusal, Token};
use codec_rawtcp::Scan;
use std::sync::Arc;

use crate::TcpConfig;

/// All raw TCP devices of one shard.
#[derive(Debug)]
pub struct Tcp {
    pub(crate) base: Base,
    pub(crate) table: Connections,
    pub(crate) commander: Commander,
    pub(crate) lingering: Lingering,
    config: Live<TcpConfig>,
    pub(crate) draining: bool,
    /// Devices that are not read until the bridge has room.
    pub(crate) roomless: Vec<Key>,
    /// Connections whose timer fires now; empty in between, kept for its memory.
    pub(crate) due: Vec<Key>,
    /// The latest time that was handed in.
    latest_ms: u64,
    /// Until then the log has heard enough of devices that are not let in.
    pub(crate) quiet_until: Option<Deadline>,
}

/// What became of the first frame of what a device has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many octets are done with.
    Took(usize),
    /// It is not all there.
    NeedMore,
    /// It is left until the device is read again.
    Blocked,
    /// The connection is closed.
    Gone,
    /// The device lives there.
    Elsewhere(ShardId),
}

impl Tcp {
    /// A machine without connections.
    #[must_use]
    pub fn new(settings: TcpSettings) -> Self {
        let config = settings.config.get();
        let mut base = Base::new(&settings, &config);
        let commander = Commander::new(&settings, &config, &mut base);
        Self {
            base,
            table: Connections::new(settings.seed),
            commander,
            lingering: Lingering::new(settings.seed),
            config: settings.config,
            draining: false,
            roomless: Vec::new(),
            due: Vec::new(),
            latest_ms: 0,
            quiet_until: None,
        }
    }

    /// What this machine counts.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.base.counts.meter()
    }

    fn on_opened(&mut self, cx: &mut Cx<'_>, conn: ConnRef, peer: Peer, proven: Proven<'_>) {
        let connection = Connection {
            conn,
            listener: peer.listener,
            addr: peer.addr,
            proven: proven.into(),
            state: State::New,
            since_ms: cx.now.mono_ms,
            partial_since_ms: None,
            scan: Scan::default(),
            timer: None,
        };
        let known = self.base.place(peer.listener).is_some();
        let Some(key) = known.then(|| self.table.insert(connection)).flatten() else {
            self.base.counts.up(Count::NotAdmitted);
            return cx.streams.close(conn);
        };
        self.base.gauge(Count::Connecting, true);
        self.set_timer(key, cx.now.after_ms(self.base.rules.idle_timeout_ms));
        self.name_by_peer(cx, key);
    }

    /// Frame by frame, as far as it goes.
    fn on_stream(&mut self, cx: &mut Cx<'_>, conn: ConnRef, bytes: &[u8]) -> Handled {
        let Some(key) = self.table.at(conn) else {
            cx.streams.close(conn);
            return Handled::Here;
        };
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let step = match self.table.get(key).map(|connection| &connection.state) {
                None => return Handled::Here,
                Some(State::New) => self.on_first(cx, key, rest),
                Some(State::Waiting(_)) => Step::Blocked,
                Some(State::Connected(_)) => self.on_frame(cx, key, rest),
            };
            match step {
                Step::Took(octets) => taken = taken.saturating_add(octets),
                Step::NeedMore => {
                    self.note_rest(cx.now, key, taken > 0, !rest.is_empty());
                    return Handled::Took(taken);
                }
                Step::Blocked => {
                    self.note_rest(cx.now, key, true, false);
                    return Handled::Took(taken);
                }
                Step::Gone => return Handled::Here,
                Step::Elsewhere(shard) => return Handled::Elsewhere(shard),
            }
        }
    }

    fn on_closed(&mut self, cx: &mut Cx<'_>, conn: ConnRef, why: CloseReason) {
        let Some(key) = self.table.at(conn) else { return };
        let ending = match why {
            CloseReason::Peer | CloseReason::Broken => Ending::Closed,
            CloseReason::Stalled => {
                self.base.counts.up(Count::Stalled);
                Ending::Stalled
            }
        };
        self.end(cx, key, ending);
    }

    fn on_down(&mut self, cx: &mut Cx<'_>, client: Token, down: Downlink<'_>) {
        if self.commander.is_called(client) {
            return self.on_command(cx, down);
        }
        let key = Key::from_bits(client.0);
        match down {
            Downlink::Message(delivery) => self.on_message(cx, key, &delivery),
            Downlink::Settled { outcome, .. } => self.on_settled(cx, key, outcome),
            Downlink::Subscribed { token, granted } => self.on_subscribed(cx, key, token, granted),
            Downlink::Ended(why) => {
                if why == Ending::TakenOver {
                    self.base.counts.up(Count::TakenOver);
                }
                self.close(cx, key, why);
            }
            // Devices here do not sleep.
            Downlink::Awake(_) => {}
        }
    }

    fn on_room(&mut self, cx: &mut Cx<'_>) {
        for key in std::mem::take(&mut self.roomless) {
            self.unblock(cx, key, Block::Room);
        }
    }

    /// The process ends: who is owed nothing goes at once, the others with the last answer of the broker.
    fn on_drain(&mut self, cx: &mut Cx<'_>) {
        self.draining = true;
        let keys: Vec<Key> = self.table.iter().map(|(key, _)| key).collect();
        for key in keys {
            match self.table.get(key).map(|connection| &connection.state) {
                Some(State::Connected(session)) if session.owed > 0 => self.block(cx, key, Block::Drain),
                Some(State::Waiting(_)) => self.turn_away(cx, key, None, Refusal::Busy),
                Some(State::Connected(_) | State::New) => self.close(cx, key, Ending::Drained),
                None => {}
            }
        }
    }
}

impl Machine for Tcp {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        self.latest_ms = self.latest_ms.max(cx.now.mono_ms);
        cx.now.mono_ms = self.latest_ms;
        self.commander.subscribe(&self.base, cx);
        match input {
            Input::Stream { conn, bytes } => return self.on_stream(cx, conn, bytes),
            Input::Opened { conn, peer, proven } => self.on_opened(cx, conn, peer, proven),
            Input::Writable { conn } => self.on_writable(cx, conn),
            Input::Closed { conn, why } => self.on_closed(cx, conn, why),
            Input::Down { client, down } => self.on_down(cx, client, down),
            Input::Posted(post) => self.on_post(cx, post),
            Input::Decided { applicant, verdict, link } => self.on_decided(cx, applicant, verdict, link),
            Input::Timer => self.on_timer(cx),
            Input::Room => self.on_room(cx),
            Input::Broker { reachable: true } => self.on_broker_back(cx),
            Input::Broker { reachable: false } => {}
            Input::Reconfigured => self.base.rules = Rules::new(&self.config.get()),
            Input::Drain { .. } => self.on_drain(cx),
            // Streams have no datagrams, and none of those who are behind them.
            Input::Datagram { .. } | Input::PeerMoved { .. } | Input::PeerClosed { .. } => {}
        }
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        self.base.wheel.next_deadline().map(Deadline)
    }

    fn sessions(&self) -> usize {
        self.table.sessions()
    }

    fn ask(&mut self, cx: &mut Cx<'_>, ask: &Ask<'_>) -> Answer {
        self.latest_ms = self.latest_ms.max(cx.now.mono_ms);
        cx.now.mono_ms = self.latest_ms;
        self.answer(cx, ask)
    }
}
