//! MQTT-SN 1.2, every message type (its §5.4) and the forwarder's envelope (§5.5).

mod decode;
mod encode;
mod fields;
mod forwarder;
mod message;

pub use decode::decode;
pub use fields::{Filter, GatewayId, MsgId, Qos, ReturnCode, Topic, TopicId};
pub use forwarder::{Forwarder, Frame, Radius};
pub use message::{Ack, Connect, Message, Publish, Register, Suback, Subscribe, Unsubscribe, WillTopic};
