//! The forwarder's envelope (MQTT-SN 1.2 §5.5): a message and the wireless node that sent it, or is to have it.

use super::decode::decode_body;
use super::message::{Message, msg_type};
use crate::framing::{Header, read_header};
use crate::{EncodeFault, Fault};
use wire::Reader;

/// What one datagram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The forwarder's envelope, if there is one.
    pub via: Option<Forwarder<'a>>,
    /// The message.
    pub message: Message<'a>,
}

/// The envelope: who is behind the forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarder<'a> {
    /// How far the forwarder broadcasts; it means something on the way to the devices only.
    pub radius: Radius,
    /// The wireless node, 0 to 252 octets that only its forwarder understands.
    pub node_id: &'a [u8],
}

/// A broadcast radius in hops, 0 to 3: the lowest two bits of Ctrl, whose others are reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Radius(u8);

impl Radius {
    const MASK: u8 = 0x03;

    /// `None` above 3 hops.
    #[must_use]
    pub const fn new(hops: u8) -> Option<Self> {
        if hops <= Self::MASK { Some(Self(hops)) } else { None }
    }

    /// Hops, 0 to 3.
    #[must_use]
    pub const fn hops(self) -> u8 {
        self.0
    }
}

impl Forwarder<'_> {
    /// The longest wireless node id, in octets: Length, one octet, covers itself, MsgType, Ctrl and the node id.
    pub const NODE_ID_MAX: usize = 252;
    /// Length, MsgType and Ctrl.
    const FIXED: u8 = 3;

    /// Appends the envelope and `message` in it.
    ///
    /// # Errors
    /// [`EncodeFault::FieldTooLong`] for a node id above [`Self::NODE_ID_MAX`], or why `message` cannot be written;
    /// nothing is appended then.
    pub fn wrap(&self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        let length = u8::try_from(self.node_id.len()).ok().and_then(|node_id| node_id.checked_add(Self::FIXED));
        let length = length.ok_or(EncodeFault::FieldTooLong("WirelessNodeId"))?;
        let start = out.len();
        out.extend_from_slice(&[length, msg_type::FORWARD, self.radius.0]);
        out.extend_from_slice(self.node_id);
        message.encode(out).inspect_err(|_| out.truncate(start))
    }
}

impl Frame<'_> {
    /// Appends the datagram.
    ///
    /// # Errors
    /// As [`Message::encode`] and [`Forwarder::wrap`]; nothing is appended then.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match &self.via {
            None => self.message.encode(out),
            Some(via) => via.wrap(&self.message, out),
        }
    }
}

/// Reads what follows an envelope's `header`: Length covers Ctrl and the node id, the message stands behind it.
#[inline(never)]
pub(super) fn decode_forwarded<'a>(header: &Header, after: &'a [u8]) -> Result<Frame<'a>, Fault> {
    let received = header.size.saturating_add(after.len());
    let envelope = header.claimed.checked_sub(header.size).and_then(|covered| after.split_at_checked(covered));
    let Some((envelope, inner)) = envelope else {
        return Err(Fault::LengthMismatch { claimed: header.claimed, received });
    };
    let Some((&ctrl, node_id)) = envelope.split_first() else { return Err(Fault::TooShort) };
    if node_id.len() > Forwarder::NODE_ID_MAX {
        return Err(Fault::NodeIdTooLong(node_id.len()));
    }
    if inner.is_empty() {
        return Err(Fault::ForwarderEmpty);
    }
    let (header, body) = read_header(inner)?;
    // Before its Length, which in an envelope never covers the datagram.
    if header.msg_type == msg_type::FORWARD {
        return Err(Fault::NestedForwarder);
    }
    header.covers(inner.len())?;
    let message = decode_body(header.msg_type, Reader::new(body))?;
    Ok(Frame { via: Some(Forwarder { radius: Radius(ctrl & Radius::MASK), node_id }), message })
}
