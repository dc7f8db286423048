//! Publications on their way: who may send next, what waits for an answer, what must be sent again.

use crate::load::histogram::Histogram;
use crate::load::places::Places;
use codec_mqttsn::Qos;
use std::collections::VecDeque;

/// Publications of all clients. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Outbound {
    qos: Qos,
    window: usize,
    retry_after: u64,
    tries: u8,
    senders: Vec<Sender>,
    /// Clients with room in their window, each once.
    ready: VecDeque<u32>,
    /// When which message of which client is due again; in order, because the interval is one. Answers leave theirs here.
    deadlines: VecDeque<(u64, u32, u16)>,
    in_flight: u64,
    /// Clients whose session has not ended.
    live: u32,
    /// Messages that the gateway acknowledged, by number.
    pub(crate) acknowledged: Places,
    pub(crate) counts: Counts,
    /// From the first transmission to the last answer.
    pub(crate) completion: Histogram,
}

/// How publications above QoS 0 ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    /// Return code 1: congestion.
    pub(crate) congested: u64,
    /// Any other return code but 0.
    pub(crate) refused: u64,
    /// Never answered, or their client was disconnected.
    pub(crate) unanswered: u64,
    pub(crate) retransmitted: u64,
    pub(crate) disconnected: u64,
}

#[derive(Debug, Default)]
struct Sender {
    last_msg_id: u16,
    pending: Vec<Pending>,
    lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    msg_id: u16,
    seq: u64,
    sent_at: u64,
    /// When it is due again: a deadline of another time is of an earlier transmission.
    due: u64,
    transmissions: u8,
    /// QoS 2: PUBREC has come, PUBREL is what is sent again.
    received: bool,
}

/// One transmission to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmission {
    /// PUBLISH, with DUP if it was sent before.
    Publish { client: u32, msg_id: u16, seq: u64, sent_at: u64, dup: bool },
    /// PUBREL.
    Release { client: u32, msg_id: u16 },
}

impl Outbound {
    pub(crate) fn new(clients: u32, messages: u64, qos: Qos, window: u16, retry_after: u64, tries: u8) -> Self {
        let mut senders = Vec::new();
        senders.resize_with(index(clients), Sender::default);
        Self {
            qos,
            window: usize::from(window),
            retry_after,
            tries,
            senders,
            ready: (0..clients).collect(),
            deadlines: VecDeque::new(),
            in_flight: 0,
            live: clients,
            acknowledged: Places::below(if is_answered(qos) { messages } else { 0 }),
            counts: Counts::default(),
            completion: Histogram::new(),
        }
    }

    const fn is_answered(&self) -> bool {
        is_answered(self.qos)
    }

    /// The first transmission of message `seq`, by the next client with room; `None` if none has.
    pub(crate) fn first(&mut self, seq: u64, now: u64) -> Option<Transmission> {
        let client = self.next_ready()?;
        if !self.is_answered() {
            self.ready.push_back(client);
            return Some(Transmission::Publish { client, msg_id: 0, seq, sent_at: now, dup: false });
        }
        let sender = self.senders.get_mut(index(client))?;
        let msg_id = sender.free_msg_id();
        let due = now.saturating_add(self.retry_after);
        sender.pending.push(Pending { msg_id, seq, sent_at: now, due, transmissions: 1, received: false });
        if sender.pending.len() < self.window {
            self.ready.push_back(client);
        }
        self.in_flight += 1;
        self.deadlines.push_back((due, client, msg_id));
        Some(Transmission::Publish { client, msg_id, seq, sent_at: now, dup: false })
    }

    /// Those whose session has ended stand in the line until their turn comes.
    fn next_ready(&mut self) -> Option<u32> {
        loop {
            let client = self.ready.pop_front()?;
            if self.senders.get(index(client)).is_some_and(|sender| !sender.lost) {
                return Some(client);
            }
        }
    }

    /// A transmission whose answer is overdue, to be made again.
    pub(crate) fn again(&mut self, now: u64) -> Option<Transmission> {
        while let Some((due, client, msg_id)) = self.deadlines.pop_front_if(|(due, ..)| *due <= now) {
            let pending = self.senders.get_mut(index(client)).and_then(|sender| sender.find(msg_id));
            let Some(pending) = pending.filter(|pending| pending.due == due) else { continue };
            if pending.transmissions >= self.tries {
                self.counts.unanswered += 1;
                self.end(client, msg_id);
                continue;
            }
            pending.transmissions += 1;
            pending.due = now.saturating_add(self.retry_after);
            let Pending { seq, sent_at, received, due, .. } = *pending;
            self.counts.retransmitted += 1;
            self.deadlines.push_back((due, client, msg_id));
            return Some(if received {
                Transmission::Release { client, msg_id }
            } else {
                Transmission::Publish { client, msg_id, seq, sent_at, dup: true }
            });
        }
        None
    }

    /// PUBACK: the end at QoS 1, a refusal at any level (`code` is not 0).
    pub(crate) fn on_puback(&mut self, client: u32, msg_id: u16, code: u8, now: u64) {
        if !self.is_answered() {
            // Such a refusal names no message.
            self.count_refusal(code);
        } else if code != 0 {
            if self.end(client, msg_id).is_some() {
                self.count_refusal(code);
            }
        } else if self.qos == Qos::AtLeastOnce {
            self.complete(client, msg_id, now);
        }
    }

    /// PUBREC: PUBREL is owed each time it comes; true if the message is one of ours.
    pub(crate) fn on_pubrec(&mut self, client: u32, msg_id: u16, now: u64) -> bool {
        let Some(pending) = self.senders.get_mut(index(client)).and_then(|sender| sender.find(msg_id)) else {
            return false;
        };
        if !pending.received {
            pending.received = true;
            // PUBREL has tries of its own.
            pending.transmissions = 1;
            pending.due = now.saturating_add(self.retry_after);
            self.deadlines.push_back((pending.due, client, msg_id));
        }
        true
    }

    /// PUBCOMP: the end at QoS 2.
    pub(crate) fn on_pubcomp(&mut self, client: u32, msg_id: u16, now: u64) {
        self.complete(client, msg_id, now);
    }

    /// The gateway ended the client's session: it sends no more, and what it had in flight has no answer.
    pub(crate) fn on_disconnect(&mut self, client: u32) {
        let Some(sender) = self.senders.get_mut(index(client)).filter(|sender| !sender.lost) else { return };
        sender.lost = true;
        let unanswered = sender.pending.len() as u64;
        sender.pending.clear();
        self.live -= 1;
        self.in_flight -= unanswered;
        self.counts.unanswered += unanswered;
        self.counts.disconnected += 1;
    }

    /// Messages that wait for an answer.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Nobody can send, now or later.
    pub(crate) const fn is_dead(&self) -> bool {
        self.live == 0
    }

    fn complete(&mut self, client: u32, msg_id: u16, now: u64) {
        if let Some(ended) = self.end(client, msg_id) {
            self.counts.acknowledged += 1;
            self.acknowledged.insert(ended.seq);
            self.completion.record(now.saturating_sub(ended.sent_at));
        }
    }

    fn end(&mut self, client: u32, msg_id: u16) -> Option<Pending> {
        let sender = self.senders.get_mut(index(client))?;
        let place = sender.pending.iter().position(|pending| pending.msg_id == msg_id)?;
        if sender.pending.len() == self.window {
            self.ready.push_back(client);
        }
        self.in_flight -= 1;
        Some(sender.pending.swap_remove(place))
    }

    const fn count_refusal(&mut self, code: u8) {
        if code == 1 {
            self.counts.congested += 1;
        } else if code != 0 {
            self.counts.refused += 1;
        }
    }
}

impl Sender {
    /// The next message id, 1 to 65,535, that nothing in flight has.
    fn free_msg_id(&mut self) -> u16 {
        loop {
            self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
            let msg_id = self.last_msg_id;
            // Ends: a window is at most 1,000.
            if self.find(msg_id).is_none() {
                return msg_id;
            }
        }
    }

    fn find(&mut self, msg_id: u16) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.msg_id == msg_id)
    }
}

const fn is_answered(qos: Qos) -> bool {
    matches!(qos, Qos::AtLeastOnce | Qos::ExactlyOnce)
}

fn index(client: u32) -> usize {
    usize::try_from(client).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
