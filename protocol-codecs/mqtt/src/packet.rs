//! Any packet.

use crate::ack::AckCodes;
use crate::frame::open;
use crate::sink::{Count, Sink, put_varint, varint_len};
use crate::{
    Ack, Auth, Connack, Connect, Disconnect, EncodeFault, Fault, MAX_REMAINING, Publish, Suback, Subscribe, Unsuback,
    Unsubscribe, Version,
};

/// Any packet, of both directions, borrowing from the octets it was read from or from what it will write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Type 1, client to server.
    Connect(Connect<'a>),
    /// Type 2, server to client.
    Connack(Connack<'a>),
    /// Type 3, both directions.
    Publish(Publish<'a>),
    /// Type 4, both directions: ends QoS 1.
    Puback(Ack<'a>),
    /// Type 5, both directions: first answer of QoS 2.
    Pubrec(Ack<'a>),
    /// Type 6, both directions: second request of QoS 2.
    Pubrel(Ack<'a>),
    /// Type 7, both directions: ends QoS 2.
    Pubcomp(Ack<'a>),
    /// Type 8, client to server.
    Subscribe(Subscribe<'a>),
    /// Type 9, server to client.
    Suback(Suback<'a>),
    /// Type 10, client to server.
    Unsubscribe(Unsubscribe<'a>),
    /// Type 11, server to client.
    Unsuback(Unsuback<'a>),
    /// Type 12, client to server.
    Pingreq,
    /// Type 13, server to client.
    Pingresp,
    /// Type 14, both directions; in 3.1.1 client to server only.
    Disconnect(Disconnect<'a>),
    /// Type 15, both directions; 5.0 only.
    Auth(Auth<'a>),
}

/// Reads exactly one packet, as [`peek`](crate::peek) measures it. `version` is the connection's; a CONNECT says its own.
///
/// # Errors
/// [`Fault`]: what is wrong, and by [`Fault::reason_code`] what to tell the peer.
#[inline]
pub fn decode(packet: &[u8], version: Version) -> Result<Packet<'_>, Fault> {
    let (first, body) = open(packet)?;
    // The two that come most often do not wait for the others.
    match first >> 4 {
        3 => return Publish::read(first, body, version).map(Packet::Publish),
        4 if first == 0x40 => return Ack::read(body, version, AckCodes::Receipt).map(Packet::Puback),
        _ => {}
    }
    match first {
        0x10 => Connect::read(body).map(Packet::Connect),
        0x20 => Connack::read(body, version).map(Packet::Connack),
        0x50 => Ack::read(body, version, AckCodes::Receipt).map(Packet::Pubrec),
        0x62 => Ack::read(body, version, AckCodes::Release).map(Packet::Pubrel),
        0x70 => Ack::read(body, version, AckCodes::Release).map(Packet::Pubcomp),
        0x82 => Subscribe::read(body, version).map(Packet::Subscribe),
        0x90 => Suback::read(body, version).map(Packet::Suback),
        0xA2 => Unsubscribe::read(body, version).map(Packet::Unsubscribe),
        0xB0 => Unsuback::read(body, version).map(Packet::Unsuback),
        0xC0 => body.finish().map(|()| Packet::Pingreq).map_err(Fault::Wire),
        0xD0 => body.finish().map(|()| Packet::Pingresp).map_err(Fault::Wire),
        0xE0 => Disconnect::read(body, version).map(Packet::Disconnect),
        0xF0 if version == Version::V5 => Auth::read(body).map(Packet::Auth),
        _ => Err(Fault::Malformed("packet type or flags")),
    }
}

/// Reads exactly one packet that a server sent: [`decode`], and refuses what only a client may send.
///
/// # Errors
/// As [`decode`]; [`Fault::Protocol`] for a packet of the wrong direction and for a Session Expiry Interval in
/// DISCONNECT (5.0, 3.14.2.2.2).
#[inline]
pub fn decode_from_server(packet: &[u8], version: Version) -> Result<Packet<'_>, Fault> {
    let packet = decode(packet, version)?;
    match &packet {
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
            Err(Fault::Protocol("packet that only a client sends"))
        }
        Packet::Disconnect(_) if version == Version::V311 => Err(Fault::Protocol("packet that only a client sends")),
        Packet::Disconnect(disconnect) if disconnect.properties.session_expiry_interval().is_some() => {
            Err(Fault::Protocol("session expiry interval"))
        }
        _ => Ok(packet),
    }
}

impl Packet<'_> {
    /// Octets that [`Self::encode`] appends, to compare with the peer's Maximum Packet Size.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeFault> {
        let remaining = self.remaining(version)?;
        Ok(remaining.saturating_add(varint_len(remaining)).saturating_add(1))
    }

    /// Appends the packet; allocates only when `out` has not the capacity, and then once. What `version` does not have
    /// is left out; a CONNECT is written as its level says.
    ///
    /// # Errors
    /// [`EncodeFault`]; nothing is appended then.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        let remaining = self.remaining(version)?;
        out.reserve(remaining.saturating_add(5));
        out.push(self.first_octet());
        put_varint(out, remaining)?;
        self.write(out, version)
    }

    /// What can fail fails here, before anything is written.
    fn remaining(&self, version: Version) -> Result<usize, EncodeFault> {
        let mut count = Count::default();
        self.write(&mut count, version)?;
        if count.0 > MAX_REMAINING { Err(EncodeFault::TooLarge) } else { Ok(count.0) }
    }

    const fn first_octet(&self) -> u8 {
        match self {
            Self::Connect(_) => 0x10,
            Self::Connack(_) => 0x20,
            Self::Publish(publish) => publish.first_octet(),
            Self::Puback(_) => 0x40,
            Self::Pubrec(_) => 0x50,
            Self::Pubrel(_) => 0x62,
            Self::Pubcomp(_) => 0x70,
            Self::Subscribe(_) => 0x82,
            Self::Suback(_) => 0x90,
            Self::Unsubscribe(_) => 0xA2,
            Self::Unsuback(_) => 0xB0,
            Self::Pingreq => 0xC0,
            Self::Pingresp => 0xD0,
            Self::Disconnect(_) => 0xE0,
            Self::Auth(_) => 0xF0,
        }
    }

    fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        match self {
            Self::Connect(connect) => connect.write(sink),
            Self::Connack(connack) => connack.write(sink, version),
            Self::Publish(publish) => publish.write(sink, version),
            Self::Puback(ack) | Self::Pubrec(ack) | Self::Pubrel(ack) | Self::Pubcomp(ack) => ack.write(sink, version),
            Self::Subscribe(subscribe) => subscribe.write(sink, version),
            Self::Suback(suback) => suback.write(sink, version),
            Self::Unsubscribe(unsubscribe) => unsubscribe.write(sink, version),
            Self::Unsuback(unsuback) => unsuback.write(sink, version),
            Self::Pingreq | Self::Pingresp => Ok(()),
            Self::Disconnect(disconnect) => disconnect.write(sink, version),
            Self::Auth(_) if version == Version::V311 => Err(EncodeFault::NotInVersion("AUTH")),
            Self::Auth(auth) => auth.write(sink),
        }
    }
}
