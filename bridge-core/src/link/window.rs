//! Publications of QoS 1 and 2 in flight: from their first octet in the batch to the broker's last word.

use super::Origin;
use crate::publication::Stored;
use codec_mqtt::{PacketId, Qos};
use std::collections::{BTreeSet, VecDeque};

/// One publication in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) message: Stored,
    pub(super) origin: Option<Origin>,
    /// What it was sent with: the message's, unless the broker takes less.
    pub(super) qos: Qos,
    pub(super) step: Step,
    /// Its place in the order of sending.
    order: u64,
    /// Sent over this connection, not only over an earlier one.
    sent: bool,
}

/// How far a publication has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// PUBLISH was sent; PUBACK or PUBREC is due.
    Published {
        /// The broker of this session may have it already.
        dup: bool,
    },
    /// PUBREC came, PUBREL was sent; PUBCOMP is due.
    Released,
}

/// The in-flight window. The packet id is the place, 1 to `most`, and what is added to all of them; used again last in, first
/// out.
#[derive(Debug)]
pub(super) struct Window {
    places: Vec<Option<Flight>>,
    /// What is added to a place.
    base: u16,
    free: Vec<u16>,
    /// What our configuration allows.
    most: u16,
    /// What the broker allows besides (MQTT 5.0 §4.9).
    quota: u16,
    held: u16,
    /// Of those held, sent over this connection.
    on_wire: u16,
    orders: u64,
    /// Packet ids that are to be sent again over this connection, in their order.
    again: VecDeque<u16>,
    /// Packet ids under which the broker may hold a publication of an earlier life. They are not free.
    leftovers: BTreeSet<PacketId>,
}

impl Window {
    /// `left_behind`: packet ids of 1 to this may be in use by an earlier life.
    pub(super) fn new(most: u16, left_behind: u16) -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(left_behind.into()).collect(),
            base: 0,
            free: Vec::new(),
            most,
            quota: most,
            held: 0,
            on_wire: 0,
            orders: 0,
            again: VecDeque::new(),
            leftovers: (1..=left_behind).filter_map(PacketId::new).collect(),
        }
    }

    /// An empty window whose packet ids begin after `base`.
    pub(super) fn after(base: u16, most: u16) -> Self {
        Self { base, ..Self::new(most, 0) }
    }

    /// Packet ids under which the broker may hold a publication of an earlier life.
    pub(super) fn leftovers(&self) -> Vec<PacketId> {
        self.leftovers.iter().copied().collect()
    }

    /// The broker holds nothing of an earlier life under `id` any more; false if it was not said to.
    pub(super) fn release(&mut self, id: PacketId) -> bool {
        let released = self.leftovers.remove(&id);
        if released {
            self.free.push(id.get());
        }
        released
    }

    /// The broker holds nothing of an earlier life any more.
    pub(super) fn release_all(&mut self) {
        // Last in, first out: the lowest on top.
        self.free.extend(std::mem::take(&mut self.leftovers).into_iter().rev().map(PacketId::get));
    }

    pub(super) fn has_leftovers(&self) -> bool {
        !self.leftovers.is_empty()
    }

    pub(super) fn is_leftover(&self, id: PacketId) -> bool {
        self.leftovers.contains(&id)
    }

    /// The highest packet id that is or may come to be in use.
    pub(super) fn last_packet_id(&self) -> u16 {
        u16::try_from(self.places.len()).unwrap_or(u16::MAX).max(self.most)
    }

    pub(super) const fn len(&self) -> usize {
        self.held as usize
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// True when a new publication may be sent: what is to be sent again goes first.
    pub(super) fn has_room(&self) -> bool {
        // With nothing to be sent again, all that is held is on the wire; and the quota is never above `most`.
        let has_id = !self.free.is_empty() || self.places.len() < usize::from(self.most);
        self.again.is_empty() && self.on_wire < self.quota && has_id
    }

    /// The packet id that [`Window::enter`] will use.
    pub(super) fn next_id(&self) -> Option<PacketId> {
        let place = match self.free.last() {
            Some(&place) => place,
            None => u16::try_from(self.places.len()).ok()?.checked_add(1)?,
        };
        PacketId::new(self.base.checked_add(place)?)
    }

    /// A publication that has just been sent with [`Window::next_id`].
    pub(super) fn enter(&mut self, message: Stored, origin: Option<Origin>, qos: Qos) {
        self.orders += 1;
        let step = Step::Published { dup: false };
        let flight = Flight { message, origin, qos, step, order: self.orders, sent: true };
        match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.place(id) {
                    *place = Some(flight);
                }
            }
            None => self.places.push(Some(flight)),
        }
        self.held += 1;
        self.on_wire += 1;
    }

    /// What was sent with `id` over this connection.
    pub(super) fn get(&mut self, id: PacketId) -> Option<&mut Flight> {
        self.place(self.place_of(id)?)?.as_mut().filter(|flight| flight.sent)
    }

    /// Ends the exchange of what was sent with `id` over this connection.
    pub(super) fn finish(&mut self, id: PacketId) -> Option<Flight> {
        let place = self.place_of(id)?;
        let flight = self.place(place)?.take_if(|flight| flight.sent)?;
        self.free.push(place);
        self.held = self.held.saturating_sub(1);
        self.on_wire = self.on_wire.saturating_sub(1);
        Some(flight)
    }

    /// A new connection, over which all that is held is to be sent again; `resumed` says whether the broker knows of it.
    pub(super) fn reconnect(&mut self, resumed: bool, quota: u16) {
        self.quota = quota.min(self.most);
        self.on_wire = 0;
        let mut order = Vec::with_capacity(self.len());
        for (place, id) in self.places.iter_mut().zip(1..) {
            let Some(flight) = place else { continue };
            flight.sent = false;
            match &mut flight.step {
                Step::Published { dup } => *dup = resumed,
                // The broker has lost what it had confirmed: once more from the beginning.
                step @ Step::Released if !resumed => *step = Step::Published { dup: false },
                Step::Released => {}
            }
            order.push((flight.order, id));
        }
        order.sort_unstable();
        self.again.clear();
        self.again.extend(order.into_iter().map(|(_, id)| id));
    }

    /// The next publication to be sent again, if the quota allows; it counts as sent.
    pub(super) fn replay(&mut self) -> Option<(PacketId, &mut Flight)> {
        if self.on_wire >= self.quota {
            return None;
        }
        let id = self.again.pop_front()?;
        self.on_wire += 1;
        let flight = self.places.get_mut(usize::from(id).checked_sub(1)?)?.as_mut()?;
        flight.sent = true;
        Some((PacketId::new(self.base.checked_add(id)?)?, flight))
    }

    /// Ends all exchanges: whom they concern, in the order of sending.
    pub(super) fn abandon(&mut self) -> Vec<Option<Origin>> {
        let mut flights: Vec<Flight> = self.places.iter_mut().filter_map(Option::take).collect();
        flights.sort_unstable_by_key(|flight| flight.order);
        (self.held, self.on_wire) = (0, 0);
        self.again.clear();
        self.places.clear();
        self.free.clear();
        flights.into_iter().map(|flight| flight.origin).collect()
    }

    /// Gives back all memory, if nothing is in flight.
    pub(super) fn let_go(&mut self) {
        if self.is_empty() && self.leftovers.is_empty() {
            (self.places, self.free, self.again) = (Vec::new(), Vec::new(), VecDeque::new());
        }
    }

    const fn place_of(&self, id: PacketId) -> Option<u16> {
        id.get().checked_sub(self.base)
    }

    fn place(&mut self, id: u16) -> Option<&mut Option<Flight>> {
        self.places.get_mut(usize::from(id).checked_sub(1)?)
    }
}
