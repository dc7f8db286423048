//! Raw TCP devices. They are told nothing about what they send, so what holds is about order and gaps: of each connection
//! the broker gets what was written first, whole and in order, and all that the gateway has taken; a message comes twice
//! only at QoS 1, or once a process has crashed or the broker has forgotten its session. What comes for a device over a
//! connection that lives is not lost but for want of room, and comes in order.

use super::Tally;
use crate::plan::Plan;
use codec_mqtt::Qos;
use std::collections::{BTreeMap, BTreeSet};
use support::broker::Accepted;

/// See the [module](self).
pub(crate) struct Streams {
    uplink_qos: u8,
    downlink_qos: u8,
    /// The broker never forgets a session.
    keeps_sessions: bool,
    /// The broker takes messages of QoS 2 at their PUBREL.
    take_at_pubrel: bool,
    /// Devices have connections of their own: what one leaves behind may not reach the broker.
    per_device: bool,
    /// A process has crashed.
    crashed: bool,
    conns: BTreeMap<u64, Conn>,
    commands: Vec<Command>,
}

/// What a device writes over one connection.
struct Conn {
    device: usize,
    /// Where each message ends, in octets from the beginning.
    ends: Vec<u64>,
    /// Messages that the gateway has taken, those that the broker has been given (less repetitions).
    taken: usize,
    accepted: usize,
    /// Messages after those, of a crashed process: the next has released them before others.
    ahead: BTreeSet<usize>,
    /// A process that had taken messages has crashed.
    crashed: bool,
    over: bool,
    /// The latest message that it brought to the device for the first time, by the QoS it was published with.
    latest: [Option<usize>; 3],
}

/// A message to a device.
struct Command {
    device: usize,
    qos: Qos,
    /// The connection over which it must come.
    conn: Option<u64>,
    heard: u32,
    /// It may come twice: a process has crashed since.
    again: bool,
}

impl Streams {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            uplink_qos: plan.streams.uplink_qos,
            downlink_qos: plan.streams.downlink_qos,
            // Sessions of their own end with each connection to the broker.
            keeps_sessions: plan.keeps_sessions && !plan.per_device,
            take_at_pubrel: plan.broker.take_at_pubrel,
            per_device: plan.per_device,
            crashed: false,
            conns: BTreeMap::new(),
            commands: Vec::new(),
        }
    }

    pub(crate) fn opens(&mut self, conn: u64, device: usize) {
        let (taken, accepted, latest) = (0, 0, [None; 3]);
        let (ends, ahead) = (Vec::new(), BTreeSet::new());
        let new = Conn { device, ends, taken, accepted, ahead, crashed: false, over: false, latest };
        self.conns.insert(conn, new);
    }

    /// A device has written a message, up to this octet.
    pub(crate) fn wrote(&mut self, conn: u64, number: u32, end: u64) {
        let ends = &mut self.conn(conn).ends;
        assert_eq!(ends.len(), number as usize, "the device counts what it says");
        ends.push(end);
    }

    /// The gateway has taken so many octets.
    pub(crate) fn taken(&mut self, conn: u64, octets: u64) {
        let conn = self.conn(conn);
        conn.taken = conn.ends.partition_point(|end| *end <= octets);
    }

    /// The connection is gone, as far as one of its sides knows: nothing need come over it any more.
    pub(crate) fn ends(&mut self, conn: u64) {
        if std::mem::replace(&mut self.conn(conn).over, true) {
            return;
        }
        for command in self.commands.iter_mut().filter(|command| command.conn == Some(conn)) {
            command.conn = None;
        }
    }

    fn conn(&mut self, conn: u64) -> &mut Conn {
        self.conns.get_mut(&conn).unwrap_or_else(|| panic!("there is no connection {conn}"))
    }

    pub(super) fn crash(&mut self) {
        self.crashed = true;
        for conn in self.conns.values_mut().filter(|conn| conn.accepted < conn.taken) {
            conn.crashed = true;
        }
        self.commands.iter_mut().for_each(|command| command.again = true);
    }

    /// The broker has taken a message. True when it is one of these.
    pub(super) fn accepted(&mut self, accepted: &Accepted, tally: &mut Tally) -> bool {
        let Some((conn, number)) = two_numbers(&accepted.payload, "x ") else { return false };
        let (qos, keeps, crashed) = (self.uplink_qos, self.keeps_sessions, self.crashed);
        let at_pubrel = self.take_at_pubrel;
        let this = self.conn(conn);
        let told = format!("message {number} of connection {conn} of t{}", this.device);
        assert_eq!(accepted.topic, format!("tcp/t{}/up", this.device), "{told}");
        assert_eq!(accepted.qos.bits(), qos, "{told}");
        let number = usize::try_from(number).expect("small");
        assert!(number < this.taken, "{told} is published, and was not taken");
        tally.streamed += 1;
        if number < this.accepted || this.ahead.contains(&number) {
            tally.repeated += 1;
            assert!(qos == 1 || (qos == 2 && (!keeps || crashed)), "{told} with QoS {qos} is published twice, or late");
            return true;
        }
        if qos == 2 && at_pubrel && this.crashed {
            // Whether there is a gap is known in the end.
            this.ahead.insert(number);
            while this.ahead.remove(&this.accepted) {
                this.accepted += 1;
            }
            return true;
        }
        // Of QoS 0 some are dropped when there is no room.
        assert!(qos == 0 || number == this.accepted, "{told} follows number {}: there is a gap", this.accepted);
        this.accepted = number + 1;
        true
    }

    /// A message for a device, by way of this connection if it is one that brings it. Returns its payload.
    pub(crate) fn commands(&mut self, device: usize, conn: Option<u64>, qos: Qos, padding: &str) -> Vec<u8> {
        let number = self.commands.len();
        let lives = conn.filter(|conn| !self.conns[conn].over);
        self.commands.push(Command { device, qos, conn: lives, heard: 0, again: false });
        format!("y {device} {number} {padding}").into_bytes()
    }

    /// A device is brought a message.
    pub(crate) fn heard(&mut self, conn: u64, device: usize, payload: &[u8], tally: &mut Tally) {
        let Some((to, number)) = two_numbers(payload, "y ") else { panic!("t{device} is sent {payload:02X?}") };
        let number = usize::try_from(number).expect("small");
        assert_eq!(to, device as u64, "message {number} comes to whom it is for");
        let (keeps, crashed, most) = (self.keeps_sessions, self.crashed, self.downlink_qos);
        let Command { qos, again, heard, .. } = &mut self.commands[number];
        let (published, again) = (*qos, *again || crashed || !keeps);
        *heard += 1;
        tally.commanded += 1;
        if *heard > 1 {
            let least = published.bits().min(most);
            assert!(least == 1 || again, "t{device} is sent message {number} of QoS {least} twice");
            return;
        }
        let latest = &mut self.conn(conn).latest[usize::from(published.bits())];
        assert!(latest.is_none_or(|latest| latest < number), "t{device} is sent message {number} after {latest:?}");
        *latest = Some(number);
    }

    /// All is quiet. `dropped`: messages to devices for which there was no room.
    pub(super) fn finish(&self, calm_from: usize, dropped: u64) {
        for (id, conn) in &self.conns {
            let Conn { device, ends, taken, accepted, ahead, crashed, over, .. } = conn;
            // A broker that forgets its session may do so in the midst of what is released.
            assert!(ahead.is_empty() || !self.keeps_sessions, "connection {id} of t{device}: {accepted}, {ahead:?}");
            assert!(*over || *taken == ends.len(), "connection {id} of t{device}: {taken} of {} taken", ends.len());
            let all = self.uplink_qos == 0 || accepted == taken || *crashed || (self.per_device && *over);
            assert!(all, "connection {id} of t{device}: {taken} messages taken, {accepted} published");
        }
        let mut missed = 0;
        for (number, command) in self.commands.iter().enumerate() {
            let counts = self.keeps_sessions || number >= calm_from;
            let owed = counts && command.conn.is_some() && command.qos != Qos::AtMostOnce && self.downlink_qos > 0;
            missed += u64::from(owed && command.heard == 0);
            assert!(missed <= dropped, "t{} has not been sent message {number}", command.device);
        }
    }

    /// A message has come to the device over this connection.
    pub(crate) fn has_heard(&self, conn: u64) -> bool {
        self.conns[&conn].latest.iter().any(Option::is_some)
    }

    /// How many messages to devices there have been.
    pub(crate) fn count(&self) -> usize {
        self.commands.len()
    }
}

/// Of `<kind><number> <number> …`.
fn two_numbers(payload: &[u8], kind: &str) -> Option<(u64, u64)> {
    let mut words = std::str::from_utf8(payload).ok()?.strip_prefix(kind)?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
