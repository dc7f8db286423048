//! MQTT 5.0 and 3.1.1 packets: decode borrows from the received octets and allocates nothing, encode appends to a
//! caller's buffer.
//!
//! A stream is cut with [`peek`] or [`split`], one packet is read with [`decode`] (or [`decode_from_server`]) and written
//! with [`Packet::encode`]; the hot path of a client writes publications with [`PublishOut::encode`].
//!
//! ```
//! use codec_mqtt::{Delivery, Packet, PublishOut, Version, decode, peek};
//!
//! let mut batch = Vec::with_capacity(64);
//! let publication = PublishOut { prefix: "site/", name: "lamp", payload: b"on", ..PublishOut::default() };
//! publication.encode(Version::V5, &mut batch)?;
//! assert_eq!(peek(&batch, 1024), Ok(Some(batch.len())));
//! let Ok(Packet::Publish(read)) = decode(&batch, Version::V5) else { panic!("no PUBLISH") };
//! assert_eq!((read.topic, read.payload, read.delivery), ("site/lamp", &b"on"[..], Delivery::AtMostOnce));
//! # Ok::<(), codec_mqtt::EncodeFault>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects)]

mod ack;
mod connack;
mod connect;
mod fault;
mod frame;
pub mod fuzzing;
mod packet;
mod property;
mod publish;
mod qos;
mod reason;
mod session_end;
mod sink;
mod subscribe;
pub mod topic;
mod unsubscribe;
mod version;

pub use ack::Ack;
pub use connack::Connack;
pub use connect::{Connect, Secret, Will};
pub use fault::{EncodeFault, Fault};
pub use frame::{MAX_REMAINING, peek, split};
pub use packet::{Packet, decode, decode_from_server};
pub use property::{Properties, Property};
pub use publish::{Delivery, Publish, PublishOut, PublishProperties};
pub use qos::{PacketId, Qos};
pub use reason::ReasonCode;
pub use session_end::{Auth, Disconnect};
pub use subscribe::{Filters, ReasonCodes, RetainHandling, Suback, Subscribe, Subscription};
pub use topic::TopicFault;
pub use unsubscribe::{Names, Unsuback, Unsubscribe};
pub use version::{Level, Version};
