//! CONNECT and what the broker answers.

use super::lifecycle::{Alive, Phase};
use super::{Broker, Link, LinkCount, LinkEvent, LinkSettings, RECEIVE_MAXIMUM};
use codec_mqtt::{
    Connack, Connect, Disconnect, Level, MAX_REMAINING, Packet, Properties, Property, Qos, ReasonCode, Version, Will,
};

impl Link {
    /// CONNECT goes into the batch; false if it cannot be written.
    pub(super) fn send_connect(&mut self, washing: bool) -> bool {
        let version = self.broker.version;
        let settings = &self.settings;
        let (username, password) = (&settings.username, settings.password.octets());
        let properties = [
            Property::SessionExpiryInterval(settings.session_expiry_s),
            Property::ReceiveMaximum(RECEIVE_MAXIMUM),
            Property::MaximumPacketSize(settings.max_packet_size.max(1)),
        ];
        let mut connect =
            Connect::new(Level::from(version), &settings.client_id, !self.resumes(), settings.keepalive_s);
        // 3.1.1 has no password without a user name.
        let named = !username.is_empty() || (version == Version::V311 && !password.is_empty());
        connect.user_name = named.then_some(username.as_str());
        connect.password = (!password.is_empty()).then_some(codec_mqtt::Secret(password));
        connect.properties = match version {
            Version::V5 => Properties::list(&properties),
            Version::V311 => Properties::EMPTY,
        };
        connect.will = settings.will.as_ref().filter(|_| !washing).map(|will| Will {
            topic: &will.topic,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: Properties::EMPTY,
        });
        Packet::Connect(connect).encode(version, self.batch.end()).is_ok()
    }

    pub(super) fn on_connack(&mut self, connack: &Connack<'_>) {
        let Phase::Greeting { washing, .. } = self.phase else {
            return self.fault(ReasonCode::PROTOCOL_ERROR, "the broker sent a second CONNACK");
        };
        if connack.reason.is_error() {
            let text = in_words("the broker refused the connection", connack.reason, &connack.properties);
            return self.refused(connack.reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, &text);
        }
        if washing {
            self.dial.accepted();
            self.attempt.washed = true;
            self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
            return self.close("starting clean");
        }
        if connack.session_present && !self.resumes() {
            // 5.0 §3.2.2.1.1, 3.1.1 §3.2.2.2: what it holds is not ours.
            return self.fault(ReasonCode::PROTOCOL_ERROR, "the broker kept a session that was to start clean");
        }
        self.accepted(connack);
    }

    /// CONNACK with a refusal, or one that only a broker without MQTT 5 sends.
    pub(super) fn refused(&mut self, version: bool, text: &str) {
        self.attempt.refused = Some(version);
        self.close(text);
    }

    fn accepted(&mut self, connack: &Connack<'_>) {
        let (now, properties, resumed) = (self.now, &connack.properties, connack.session_present);
        self.broker.learn(properties);
        self.window.reconnect(resumed, properties.receive_maximum().unwrap_or(u16::MAX));
        if !resumed {
            self.unreleased.clear();
            self.requests.forget();
        }
        self.dial.accepted();
        self.attempt.accepted = Some(now);
        self.reason.clear();
        self.phase = Phase::Online(Alive::since(now));
        self.counts.up(LinkCount::Connects);
        self.counts.set(LinkCount::Up, 1);
        self.events.push_back(LinkEvent::Up { session_present: resumed });
        self.send_requests();
        self.pump_due = true;
        let (client_id, server, version) =
            (&self.settings.client_id, self.server(self.dial.target()), self.broker.version);
        tracing::info!(%client_id, %server, ?version, session_present = resumed, "broker connection up");
    }

    /// True when the session at the broker that is being tried is ours to go on with.
    pub(super) fn resumes(&self) -> bool {
        self.settings.session_expiry_s > 0 && self.dial.is_home()
    }
}

impl Broker {
    pub(super) fn before_connack(version: Version, settings: &LinkSettings) -> Self {
        Self {
            version,
            max_qos: Qos::ExactlyOnce,
            retains: true,
            max_packet_size: usize::try_from(settings.max_packet_size).unwrap_or(MAX_REMAINING),
            identifiers: version == Version::V5,
            keepalive_s: settings.keepalive_s,
        }
    }

    fn learn(&mut self, connack: &Properties<'_>) {
        self.max_qos = connack.maximum_qos().unwrap_or(Qos::ExactlyOnce);
        self.retains = connack.retain_available().unwrap_or(true);
        self.keepalive_s = connack.server_keep_alive().unwrap_or(self.keepalive_s);
        self.identifiers = self.version == Version::V5 && connack.subscription_identifier_available().unwrap_or(true);
        if let Some(octets) = connack.maximum_packet_size() {
            self.max_packet_size = self.max_packet_size.min(usize::try_from(octets).unwrap_or(MAX_REMAINING));
        }
    }
}

/// What happened, the reason code, and the broker's own words.
pub(super) fn in_words(what: &str, code: ReasonCode, properties: &Properties<'_>) -> String {
    match properties.reason_string() {
        Some(said) => format!("{what}: {code}: {said}"),
        None => format!("{what}: {code}"),
    }
}
