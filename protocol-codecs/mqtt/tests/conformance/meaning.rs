//! Packets as the tables tell them: JSON with mqtt-packet's field names.

use codec_mqtt::{
    Ack, Auth, Connack, Connect, Delivery, Disconnect, Filters, Level, Names, Packet, PacketId, Properties, Property,
    Publish, Qos, ReasonCode, ReasonCodes, RetainHandling, Secret, Suback, Subscribe, Subscription, Unsuback,
    Unsubscribe, Version, Will,
};
use serde_json::{Map, Value, json};
use support::vectors::unhex;

/// Lends `value` for as long as the test process lives.
pub(crate) fn keep<T: ?Sized>(value: Box<T>) -> &'static T {
    Box::leak(value)
}

/// The packet that `meaning` describes.
pub(crate) fn packet(meaning: &Value, version: Version) -> Packet<'static> {
    let properties = properties(&meaning["properties"]);
    let reason = ReasonCode(meaning["reasonCode"].as_u64().map_or(0, byte));
    let packet_id = || PacketId::new(number(&meaning["messageId"])).unwrap();
    let ack = || Ack { packet_id: packet_id(), reason, properties };
    let codes = || ReasonCodes::new(keep(list(&meaning["granted"], |code| byte(code.as_u64().unwrap()))));
    match meaning["cmd"].as_str().unwrap() {
        "connect" => Packet::Connect(connect(meaning, properties)),
        "connack" => {
            let reason = match meaning["returnCode"].as_u64() {
                Some(code) => ReasonCode::from_v311_return_code(byte(code)).unwrap(),
                None => reason,
            };
            Packet::Connack(Connack { session_present: meaning["sessionPresent"] == json!(true), reason, properties })
        }
        "publish" => Packet::Publish(Publish {
            topic: text(&meaning["topic"]),
            delivery: delivery(meaning),
            retain: meaning["retain"] == json!(true),
            properties,
            payload: octets(&meaning["payload"]),
        }),
        "puback" => Packet::Puback(ack()),
        "pubrec" => Packet::Pubrec(ack()),
        "pubrel" => Packet::Pubrel(ack()),
        "pubcomp" => Packet::Pubcomp(ack()),
        "subscribe" => {
            let filters = Filters::list(keep(list(&meaning["subscriptions"], subscription)));
            Packet::Subscribe(Subscribe { packet_id: packet_id(), properties, filters })
        }
        "suback" => Packet::Suback(Suback { packet_id: packet_id(), properties, codes: codes() }),
        "unsubscribe" => {
            let filters = Names::list(keep(list(&meaning["unsubscriptions"], text)));
            Packet::Unsubscribe(Unsubscribe { packet_id: packet_id(), properties, filters })
        }
        "unsuback" if version == Version::V311 => {
            Packet::Unsuback(Unsuback { packet_id: packet_id(), properties, codes: ReasonCodes::default() })
        }
        "unsuback" => Packet::Unsuback(Unsuback { packet_id: packet_id(), properties, codes: codes() }),
        "pingreq" => Packet::Pingreq,
        "pingresp" => Packet::Pingresp,
        "disconnect" => Packet::Disconnect(Disconnect { reason, properties }),
        "auth" => Packet::Auth(Auth { reason, properties }),
        other => panic!("no packet is called {other}"),
    }
}

fn connect(meaning: &Value, properties: Properties<'static>) -> Connect<'static> {
    let level = match (meaning["protocolId"].as_str().unwrap(), meaning["protocolVersion"].as_u64().unwrap()) {
        ("MQIsdp", 3) => Level::V31,
        ("MQTT", 4) => Level::V311,
        ("MQTT", 5) => Level::V5,
        other => panic!("no level is {other:?}"),
    };
    let will = meaning.get("will").map(|will| Will {
        topic: text(&will["topic"]),
        payload: octets(&will["payload"]),
        qos: qos(&will["qos"]),
        retain: will["retain"] == json!(true),
        properties: self::properties(&will["properties"]),
    });
    Connect {
        level,
        clean_start: meaning["clean"] == json!(true),
        keep_alive: number(&meaning["keepalive"]),
        client_id: text(&meaning["clientId"]),
        will,
        user_name: meaning.get("username").map(text),
        password: meaning.get("password").map(|password| Secret(octets(password))),
        properties,
    }
}

fn delivery(meaning: &Value) -> Delivery {
    let dup = meaning["dup"] == json!(true);
    match qos(&meaning["qos"]) {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => {
            Delivery::AtLeastOnce { packet_id: PacketId::new(number(&meaning["messageId"])).unwrap(), dup }
        }
        Qos::ExactlyOnce => {
            Delivery::ExactlyOnce { packet_id: PacketId::new(number(&meaning["messageId"])).unwrap(), dup }
        }
    }
}

fn subscription(meaning: &Value) -> Subscription<'static> {
    let retain_handling = match meaning["rh"].as_u64() {
        None | Some(0) => RetainHandling::Send,
        Some(1) => RetainHandling::SendIfNew,
        Some(2) => RetainHandling::DoNotSend,
        Some(other) => panic!("retain handling {other}"),
    };
    Subscription {
        no_local: meaning["nl"] == json!(true),
        retain_as_published: meaning["rap"] == json!(true),
        retain_handling,
        ..Subscription::new(text(&meaning["topic"]), qos(&meaning["qos"]))
    }
}

fn properties(meaning: &Value) -> Properties<'static> {
    let all: Vec<_> =
        meaning.as_object().into_iter().flatten().flat_map(|(name, value)| property(name, value)).collect();
    Properties::list(keep(all.into_boxed_slice()))
}

fn property(name: &str, value: &Value) -> Vec<Property<'static>> {
    let flag = || value.as_bool().unwrap();
    let int = || wide(value);
    let short = || number(value);
    let one = match name {
        "payloadFormatIndicator" => Property::PayloadFormatIndicator(flag()),
        "messageExpiryInterval" => Property::MessageExpiryInterval(int()),
        "contentType" => Property::ContentType(text(value)),
        "responseTopic" => Property::ResponseTopic(text(value)),
        "correlationData" => Property::CorrelationData(octets(value)),
        "subscriptionIdentifier" => {
            return several(value).map(|id| Property::SubscriptionIdentifier(wide(id))).collect();
        }
        "sessionExpiryInterval" => Property::SessionExpiryInterval(int()),
        "assignedClientIdentifier" => Property::AssignedClientIdentifier(text(value)),
        "serverKeepAlive" => Property::ServerKeepAlive(short()),
        "authenticationMethod" => Property::AuthenticationMethod(text(value)),
        "authenticationData" => Property::AuthenticationData(Secret(octets(value))),
        "requestProblemInformation" => Property::RequestProblemInformation(flag()),
        "willDelayInterval" => Property::WillDelayInterval(int()),
        "requestResponseInformation" => Property::RequestResponseInformation(flag()),
        "responseInformation" => Property::ResponseInformation(text(value)),
        "serverReference" => Property::ServerReference(text(value)),
        "reasonString" => Property::ReasonString(text(value)),
        "receiveMaximum" => Property::ReceiveMaximum(short()),
        "topicAliasMaximum" => Property::TopicAliasMaximum(short()),
        "topicAlias" => Property::TopicAlias(short()),
        "maximumQoS" => Property::MaximumQos(qos(value)),
        "retainAvailable" => Property::RetainAvailable(flag()),
        "userProperties" => return user_properties(value),
        "maximumPacketSize" => Property::MaximumPacketSize(int()),
        "wildcardSubscriptionAvailable" => Property::WildcardSubscriptionAvailable(flag()),
        "subscriptionIdentifiersAvailable" => Property::SubscriptionIdentifierAvailable(flag()),
        "sharedSubscriptionAvailable" => Property::SharedSubscriptionAvailable(flag()),
        other => panic!("no property is called {other}"),
    };
    vec![one]
}

fn user_properties(meaning: &Value) -> Vec<Property<'static>> {
    let pairs = meaning.as_object().unwrap().iter();
    pairs
        .flat_map(|(name, values)| {
            let name: &str = keep(name.clone().into_boxed_str());
            several(values).map(move |value| Property::UserProperty(name, text(value)))
        })
        .collect()
}

/// What a packet says, in the words of the tables.
pub(crate) fn tell(packet: &Packet<'_>, version: Version) -> Value {
    let id = |id: PacketId| ("messageId", json!(id.get()));
    let codes = |codes: &ReasonCodes<'_>| ("granted", json!(codes.iter().map(|code| code.0).collect::<Vec<_>>()));
    let reason = |reason: ReasonCode| ("reasonCode", json!(reason.0));
    let v5 = version == Version::V5;
    let (cmd, fields, properties) = match packet {
        Packet::Connect(connect) => return tell_connect(connect),
        Packet::Connack(connack) => {
            let code =
                if v5 { reason(connack.reason) } else { ("returnCode", json!(connack.reason.v311_return_code())) };
            ("connack", vec![code, ("sessionPresent", json!(connack.session_present))], connack.properties)
        }
        Packet::Publish(publish) => ("publish", tell_publish(publish), publish.properties),
        Packet::Puback(ack) => ("puback", vec![id(ack.packet_id), reason(ack.reason)], ack.properties),
        Packet::Pubrec(ack) => ("pubrec", vec![id(ack.packet_id), reason(ack.reason)], ack.properties),
        Packet::Pubrel(ack) => ("pubrel", vec![id(ack.packet_id), reason(ack.reason)], ack.properties),
        Packet::Pubcomp(ack) => ("pubcomp", vec![id(ack.packet_id), reason(ack.reason)], ack.properties),
        Packet::Subscribe(subscribe) => {
            let all: Vec<_> = subscribe.filters.iter().map(|one| tell_subscription(&one, version)).collect();
            ("subscribe", vec![id(subscribe.packet_id), ("subscriptions", json!(all))], subscribe.properties)
        }
        Packet::Suback(suback) => ("suback", vec![id(suback.packet_id), codes(&suback.codes)], suback.properties),
        Packet::Unsubscribe(unsubscribe) => {
            let all: Vec<_> = unsubscribe.filters.iter().collect();
            ("unsubscribe", vec![id(unsubscribe.packet_id), ("unsubscriptions", json!(all))], unsubscribe.properties)
        }
        Packet::Unsuback(unsuback) => {
            let mut fields = vec![id(unsuback.packet_id)];
            fields.extend(v5.then(|| codes(&unsuback.codes)));
            ("unsuback", fields, unsuback.properties)
        }
        Packet::Pingreq => return json!({"cmd": "pingreq"}),
        Packet::Pingresp => return json!({"cmd": "pingresp"}),
        Packet::Disconnect(disconnect) => ("disconnect", vec![reason(disconnect.reason)], disconnect.properties),
        Packet::Auth(auth) => ("auth", vec![reason(auth.reason)], auth.properties),
    };
    let mut told = Map::from_iter([("cmd".to_owned(), json!(cmd))]);
    told.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if !v5 {
        told.remove("reasonCode");
    }
    put_properties(&mut told, &properties);
    Value::Object(told)
}

fn tell_connect(connect: &Connect<'_>) -> Value {
    let (name, level) = match connect.level {
        Level::V31 => ("MQIsdp", 3),
        Level::V311 => ("MQTT", 4),
        Level::V5 => ("MQTT", 5),
    };
    let mut told = Map::from_iter(
        [
            ("cmd", json!("connect")),
            ("protocolId", json!(name)),
            ("protocolVersion", json!(level)),
            ("clean", json!(connect.clean_start)),
            ("clientId", json!(connect.client_id)),
            ("keepalive", json!(connect.keep_alive)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(will) = &connect.will {
        let (topic, qos, retain) = (will.topic, will.qos.bits(), will.retain);
        let meaning = json!({"topic": topic, "payload": hex(will.payload), "qos": qos, "retain": retain});
        let Value::Object(mut will_told) = meaning else { panic!("json! made no object") };
        put_properties(&mut will_told, &will.properties);
        told.insert("will".to_owned(), Value::Object(will_told));
    }
    told.extend(connect.user_name.map(|name| ("username".to_owned(), json!(name))));
    told.extend(connect.password.map(|password| ("password".to_owned(), hex(password.0))));
    put_properties(&mut told, &connect.properties);
    Value::Object(told)
}

fn tell_publish(publish: &Publish<'_>) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("topic", json!(publish.topic)),
        ("payload", hex(publish.payload)),
        ("qos", json!(publish.delivery.qos().bits())),
        ("dup", json!(publish.delivery.dup())),
        ("retain", json!(publish.retain)),
    ];
    fields.extend(publish.delivery.packet_id().map(|id| ("messageId", json!(id.get()))));
    fields
}

fn tell_subscription(one: &Subscription<'_>, version: Version) -> Value {
    match version {
        Version::V311 => json!({"topic": one.filter, "qos": one.qos.bits()}),
        Version::V5 => json!({
            "topic": one.filter, "qos": one.qos.bits(), "nl": one.no_local, "rap": one.retain_as_published,
            "rh": one.retain_handling.bits(),
        }),
    }
}

fn put_properties(told: &mut Map<String, Value>, properties: &Properties<'_>) {
    let mut all = Map::new();
    for (name, value) in getters(properties) {
        all.extend(value.map(|value| (name.to_owned(), value)));
    }
    let ids: Vec<_> = properties.subscription_identifiers().collect();
    match ids[..] {
        [] => {}
        [id] => drop(all.insert("subscriptionIdentifier".to_owned(), json!(id))),
        _ => drop(all.insert("subscriptionIdentifier".to_owned(), json!(ids))),
    }
    let mut pairs = Map::new();
    for (name, value) in properties.user_properties() {
        let entry = pairs.entry(name).or_insert(Value::Null);
        *entry = match entry.take() {
            Value::Null => json!(value),
            Value::Array(mut values) => {
                values.push(json!(value));
                Value::Array(values)
            }
            first => json!([first, value]),
        };
    }
    if !pairs.is_empty() {
        all.insert("userProperties".to_owned(), Value::Object(pairs));
    }
    if !all.is_empty() {
        told.insert("properties".to_owned(), Value::Object(all));
    }
}

fn getters(p: &Properties<'_>) -> [(&'static str, Option<Value>); 25] {
    [
        ("payloadFormatIndicator", p.payload_format_indicator().map(Value::from)),
        ("messageExpiryInterval", p.message_expiry_interval().map(Value::from)),
        ("contentType", p.content_type().map(Value::from)),
        ("responseTopic", p.response_topic().map(Value::from)),
        ("correlationData", p.correlation_data().map(hex)),
        ("sessionExpiryInterval", p.session_expiry_interval().map(Value::from)),
        ("assignedClientIdentifier", p.assigned_client_identifier().map(Value::from)),
        ("serverKeepAlive", p.server_keep_alive().map(Value::from)),
        ("authenticationMethod", p.authentication_method().map(Value::from)),
        ("authenticationData", p.authentication_data().map(hex)),
        ("requestProblemInformation", p.request_problem_information().map(Value::from)),
        ("willDelayInterval", p.will_delay_interval().map(Value::from)),
        ("requestResponseInformation", p.request_response_information().map(Value::from)),
        ("responseInformation", p.response_information().map(Value::from)),
        ("serverReference", p.server_reference().map(Value::from)),
        ("reasonString", p.reason_string().map(Value::from)),
        ("receiveMaximum", p.receive_maximum().map(Value::from)),
        ("topicAliasMaximum", p.topic_alias_maximum().map(Value::from)),
        ("topicAlias", p.topic_alias().map(Value::from)),
        ("maximumQoS", p.maximum_qos().map(|qos| Value::from(qos.bits()))),
        ("retainAvailable", p.retain_available().map(Value::from)),
        ("maximumPacketSize", p.maximum_packet_size().map(Value::from)),
        ("wildcardSubscriptionAvailable", p.wildcard_subscription_available().map(Value::from)),
        ("subscriptionIdentifiersAvailable", p.subscription_identifier_available().map(Value::from)),
        ("sharedSubscriptionAvailable", p.shared_subscription_available().map(Value::from)),
    ]
}

/// `meaning` with repetition marks expanded and empty `properties` left out, as [`tell`] writes it.
pub(crate) fn plain(meaning: &Value) -> Value {
    match meaning {
        Value::Object(fields) if fields.contains_key("hex") => hex(octets(meaning)),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| *name != "properties" || **value != json!({}));
            Value::Object(kept.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        other => other.clone(),
    }
}

fn hex(octets: &[u8]) -> Value {
    json!({"hex": octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>()})
}

fn octets(value: &Value) -> &'static [u8] {
    keep(unhex(value["hex"].as_str().unwrap()).into_boxed_slice())
}

fn text(value: &Value) -> &'static str {
    keep(value.as_str().unwrap().to_owned().into_boxed_str())
}

fn list<T>(values: &Value, item: impl FnMut(&Value) -> T) -> Box<[T]> {
    values.as_array().unwrap().iter().map(item).collect()
}

fn several(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or_else(|| std::slice::from_ref(value), |all| &all[..]).iter()
}

fn qos(value: &Value) -> Qos {
    Qos::from_bits(byte(value.as_u64().unwrap())).unwrap()
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap()
}

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}

fn wide(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}
