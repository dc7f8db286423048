//! A device that finds itself elsewhere.

use super::{Ask, Device};
use crate::spots::{How, Spot};

impl Device {
    pub(crate) fn move_to(&mut self, now: u64, spot: Spot, how: How) {
        self.spot = spot;
        self.moves += 1;
        match how {
            How::Unaware => {}
            // It will find out when it wakes up.
            How::Aware if self.is_asleep() => {}
            // One that is not waiting for anything may say it by PINGREQ.
            How::Aware if self.connected && self.names_itself && self.request.is_none() => self.ping_at = now,
            How::Aware => self.reconnect(now),
            How::Restarted => {
                self.topic_ids.fill(None);
                self.subscribed.fill(false);
                self.names.clear();
                self.asleep_until = None;
                self.reconnect(now);
            }
        }
    }

    pub(super) fn reconnect(&mut self, now: u64) {
        self.connected = false;
        self.request = None;
        for flight in &mut self.flights {
            (flight.due, flight.tries) = (now, 0);
        }
    }

    /// PINGREQ carries the client id.
    pub(super) fn says_its_name(&self, what: Ask) -> Option<&str> {
        (what == Ask::Wake || self.names_itself).then_some(&*self.id)
    }
}
