//! What the broker sends: bytes to a message and the list of those whom it concerns.

use super::{Bridge, LinkId};
use crate::link::{AckDue, Inbound};
use crate::peer::GatewayId;
use crate::publication::{Publication, Shared};
use crate::time::Now;
use crate::topic::TopicName;
use crate::uplink::{Receipt, Token};
use codec_mqtt::Qos;

/// One subscription that gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whose machine.
    pub gateway: GatewayId,
    /// The machine's number for the client.
    pub client: Token,
    /// The machine's number for the subscription.
    pub subscription: Token,
    /// The lesser of the message's QoS and the subscription's.
    pub qos: Qos,
    /// The broker keeps its copy until this is [delivered](crate::uplink::Uplink::Delivered).
    pub receipt: Option<Receipt>,
    /// Octets of mountpoint to take off the topic.
    pub(super) mount: u16,
}

/// A message from the broker that has to be handed out.
#[derive(Debug)]
pub struct Arrival<'a> {
    whole: Publication<'a>,
    /// Whom it concerns, in the order they subscribed.
    pub recipients: Vec<Recipient>,
    due: AckDue,
}

impl<'a> Arrival<'a> {
    pub(super) const fn new(whole: Publication<'a>, recipients: Vec<Recipient>, due: AckDue) -> Self {
        Self { whole, recipients, due }
    }

    /// The message without the mountpoint of `recipient`; `None` if that were not a topic.
    #[must_use]
    pub fn seen_by(&self, recipient: &Recipient) -> Option<Publication<'a>> {
        let topic = self.whole.topic.as_str().get(usize::from(recipient.mount)..)?;
        (!topic.is_empty()).then_some(Publication { topic: TopicName::from_broker(topic), ..self.whole })
    }

    /// Calls `hand` for each recipient. Those with one mountpoint share one copy, if any of them must keep it.
    pub fn hand_out(&self, mut hand: impl FnMut(&Recipient, &Shared<'a>)) {
        let mut shared: Option<(u16, Shared<'a>)> = None;
        for recipient in &self.recipients {
            let fits = shared.as_ref().is_some_and(|(mount, _)| *mount == recipient.mount);
            if !fits {
                shared = self.seen_by(recipient).map(|view| (recipient.mount, Shared::new(view)));
            }
            if let Some((_, message)) = &shared {
                hand(recipient, message);
            }
        }
    }
}

impl Bridge {
    /// Works through `bytes` that came over a link until a message is to be handed out, or they are used up. Returns how
    /// many were consumed; the rest is to be offered again, with more behind it. [`Bridge::handed_out`] and, sooner or
    /// later, [`Bridge::acknowledge`] must follow a message, [`Bridge::settle`] the call.
    pub fn receive<'b>(&mut self, now: Now, from: LinkId, bytes: &'b [u8]) -> (usize, Option<Arrival<'b>>) {
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Some(line) = self.lines.get_mut(from) else { return (bytes.len(), None) };
            let received = line.link.receive(now, rest);
            consumed = consumed.saturating_add(received.consumed);
            let Some(inbound) = received.message else { return (consumed, None) };
            // What came before the message may say whom it concerns.
            self.settle_line(now, from);
            let arrival = if self.lines.is_shared(from) {
                self.receive_shared(from, inbound)
            } else {
                self.receive_alone(now, from, inbound)
            };
            if arrival.is_some() {
                return (consumed, arrival);
            }
        }
    }

    fn receive_shared<'b>(&mut self, from: LinkId, inbound: Inbound<'b>) -> Option<Arrival<'b>> {
        let mut recipients = std::mem::take(&mut self.recipients);
        let whole = inbound.publication;
        let (_, trunk) = self.lines.get_mut(from)?.shared_parts()?;
        trunk.upstream.recipients(whole.topic.as_str(), &inbound.subscription_ids(), whole.retain, |who, qos| {
            recipients.push(Recipient {
                gateway: who.gateway,
                client: who.handle,
                subscription: who.subscription,
                qos: qos.min(whole.qos),
                receipt: None,
                mount: who.mount,
            });
        });
        Some(Arrival { whole, recipients, due: inbound.due })
    }

    /// The message has been handed out. Returns what the broker is to be told once nobody needs it any more.
    pub fn handed_out(&mut self, arrival: Arrival<'_>) -> AckDue {
        let Arrival { mut recipients, due, .. } = arrival;
        recipients.clear();
        self.recipients = recipients;
        due
    }

    /// The broker may forget the message that `due` came with; in the order in which messages came over the link.
    pub fn acknowledge(&mut self, from: LinkId, due: AckDue) {
        if let Some(line) = self.lines.get_mut(from) {
            line.link.acknowledge(due);
        }
    }
}
