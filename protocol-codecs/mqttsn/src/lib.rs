//! MQTT-SN messages: datagrams in, borrowed messages out, and back.
//!
//! [`decode`] reads one datagram, a forwarder's envelope included, into a [`Frame`] that borrows from it;
//! [`Frame::encode`], [`Message::encode`] and [`Forwarder::wrap`] append to a buffer of the caller. Nothing here
//! allocates but that buffer's growth, and nothing keeps state.
//!
//! The types of MQTT-SN 1.2 live in [`v1`] and are re-exported here. Version 2.0 chooses its version by CONNECT's
//! protocol id on the same port; its types have room beside them, in a module of their own, over the same length forms.
//!
//! ```
//! use codec_mqttsn::{Message, ReturnCode, decode};
//!
//! let frame = decode(&[0x03, 0x05, 0x00])?;
//! assert_eq!(frame.message, Message::Connack { code: ReturnCode::Accepted });
//! # Ok::<(), codec_mqttsn::Fault>(())
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects)]

mod fault;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
pub mod v1;

pub use fault::{EncodeFault, Fault};
pub use v1::{
    Ack, Connect, Filter, Forwarder, Frame, GatewayId, Message, MsgId, Publish, Qos, Radius, Register, ReturnCode,
    Suback, Subscribe, Topic, TopicId, Unsubscribe, WillTopic, decode,
};
