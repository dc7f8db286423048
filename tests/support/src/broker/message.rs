//! Messages at rest.

use codec_mqtt::{Properties, Property, Publish, Qos, Will};

/// An application message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// May be empty.
    pub payload: Vec<u8>,
    /// As published.
    pub qos: Qos,
    /// As published.
    pub retain: bool,
    /// None in 3.1.1.
    pub properties: MessageProperties,
}

/// The properties that a broker hands on unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Payload Format Indicator 1.
    pub payload_is_utf8: bool,
    /// Seconds; without a clock it never gets less.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is.
    pub content_type: Option<String>,
    /// Topic name for the answer.
    pub response_topic: Option<String>,
    /// What the answer carries back.
    pub correlation_data: Option<Vec<u8>>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

/// A message that the broker took responsibility for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Client id of who published it.
    pub client: String,
    /// Topic name.
    pub topic: String,
    /// May be empty.
    pub payload: Vec<u8>,
    /// As published.
    pub qos: Qos,
    /// As published.
    pub retain: bool,
    /// Whether the PUBLISH that brought it said that it was sent before.
    pub dup: bool,
    /// Whether it is a will.
    pub will: bool,
    /// None in 3.1.1.
    pub properties: MessageProperties,
}

/// A will, until the connection ends.
#[derive(Clone, Debug)]
pub(super) struct HeldWill {
    pub(super) message: Message,
    pub(super) delayed: bool,
}

impl Message {
    /// A message without properties.
    #[must_use]
    pub fn new(topic: &str, payload: impl AsRef<[u8]>, qos: Qos) -> Self {
        Self { topic: topic.to_owned(), payload: payload.as_ref().to_vec(), qos, ..Self::default() }
    }

    /// The same message, to be retained.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(super) fn of(publish: &Publish<'_>) -> Self {
        Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.delivery.qos(),
            retain: publish.retain,
            properties: MessageProperties::of(&publish.properties),
        }
    }

    pub(super) fn accepted(&self, client: &str, dup: bool, will: bool) -> Accepted {
        let Self { topic, payload, qos, retain, properties } = self.clone();
        Accepted { client: client.to_owned(), topic, payload, qos, retain, dup, will, properties }
    }
}

impl HeldWill {
    pub(super) fn of(will: &Will<'_>) -> Self {
        let message = Message {
            topic: will.topic.to_owned(),
            payload: will.payload.to_vec(),
            qos: will.qos,
            retain: will.retain,
            properties: MessageProperties::of(&will.properties),
        };
        Self { message, delayed: will.properties.will_delay_interval().is_some_and(|seconds| seconds > 0) }
    }
}

impl MessageProperties {
    fn of(properties: &Properties<'_>) -> Self {
        Self {
            payload_is_utf8: properties.payload_format_indicator() == Some(true),
            message_expiry_interval: properties.message_expiry_interval(),
            content_type: properties.content_type().map(str::to_owned),
            response_topic: properties.response_topic().map(str::to_owned),
            correlation_data: properties.correlation_data().map(<[u8]>::to_vec),
            user_properties: properties.user_properties().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        }
    }

    /// With the subscription identifiers that the copy carries.
    pub(super) fn list(&self, identifiers: &[u32]) -> Vec<Property<'_>> {
        let mut list = Vec::new();
        if self.payload_is_utf8 {
            list.push(Property::PayloadFormatIndicator(true));
        }
        list.extend(self.message_expiry_interval.map(Property::MessageExpiryInterval));
        list.extend(self.content_type.as_deref().map(Property::ContentType));
        list.extend(self.response_topic.as_deref().map(Property::ResponseTopic));
        list.extend(self.correlation_data.as_deref().map(Property::CorrelationData));
        list.extend(self.user_properties.iter().map(|(name, value)| Property::UserProperty(name, value)));
        list.extend(identifiers.iter().copied().map(Property::SubscriptionIdentifier));
        list
    }
}
