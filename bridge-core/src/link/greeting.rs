//! CONNECT and what the broker answers.

use super::lifecycle::{Alive, Phase};
use super::{Broker, Link, LinkCount, LinkEvent, LinkSettings, Persona, SessionRecord, SessionScope};
use codec_mqtt::{
    Ack, Connack, Connect, Disconnect, Level, MAX_REMAINING, Packet, Properties, Property, Qos, ReasonCode, Version,
    Will,
};

impl Link {
    /// CONNECT goes into the batch; false if it cannot be written.
    pub(super) fn send_connect(&mut self, washing: bool) -> bool {
        let version = self.broker.version;
        let clean = washing || self.persona.session_expiry_s == 0;
        let (settings, persona) = (&self.settings, &self.persona);
        let (username, password) = (&persona.username, persona.password.octets());
        let properties = [
            Property::SessionExpiryInterval(if washing { 0 } else { persona.session_expiry_s }),
            Property::ReceiveMaximum(self.receive_maximum()),
            Property::MaximumPacketSize(settings.max_packet_size.max(1)),
        ];
        let mut connect = Connect::new(Level::from(version), &persona.client_id, clean, persona.keepalive_s);
        // 3.1.1 has no password without a user name.
        let named = !username.is_empty() || (version == Version::V311 && !password.is_empty());
        connect.user_name = named.then_some(&**username);
        connect.password = (!password.is_empty()).then_some(codec_mqtt::Secret(password));
        connect.properties = match version {
            Version::V5 => Properties::list(&properties),
            Version::V311 => Properties::EMPTY,
        };
        let delay = [Property::WillDelayInterval(WILL_DELAY_S)];
        connect.will = persona.will.as_ref().filter(|_| !washing).map(|will| Will {
            topic: &will.topic,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: if self.delays_will() { Properties::list(&delay) } else { Properties::EMPTY },
        });
        Packet::Connect(connect).encode(version, self.batch.end()).is_ok()
    }

    pub(super) fn on_connack(&mut self, connack: &Connack<'_>) {
        let Phase::Greeting { washing, .. } = self.phase else {
            return self.fault(ReasonCode::PROTOCOL_ERROR, "the broker sent a second CONNACK");
        };
        self.attempt.asked = false;
        if connack.reason.is_error() {
            let text = in_words("the broker refused the connection", connack.reason, &connack.properties);
            self.attempt.code = connack.reason.0;
            return self.refused(connack.reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, &text);
        }
        let none_expected = std::mem::take(&mut self.washed) || washing || self.persona.session_expiry_s == 0;
        if connack.session_present && none_expected {
            // 5.0 §3.2.2.1.1, 3.1.1 §3.2.2.2: what it holds is not ours.
            return self.fault(ReasonCode::PROTOCOL_ERROR, "the broker kept a session that was to start clean");
        }
        if washing {
            return self.on_washed();
        }
        if connack.session_present && !self.resumes() && !self.is_own() {
            self.wash = true;
            return self.step_back("the session at the broker is not ours");
        }
        self.accepted(connack);
        if std::mem::take(&mut self.own.stale_will) {
            // Not before it is known what has become of the session: this connection may have begun another.
            self.step_for_will();
        }
    }

    /// The session that was not ours has ended.
    fn on_washed(&mut self) {
        self.dial.answered();
        self.counts.up(LinkCount::SessionsEnded);
        if self.settings.scope == SessionScope::Discarded {
            self.discarded = true;
            return self.goodbye(self.now);
        }
        let (client_id, server) = (&self.persona.client_id, self.server(self.dial.target()));
        tracing::info!(%client_id, %server, "a session that is not ours was ended");
        self.washed = true;
        self.step_back("starting clean");
    }

    /// Closes a connection that has served its purpose; the next follows at once.
    fn step_back(&mut self, text: &str) {
        self.dial.answered();
        self.attempt.is_step = true;
        self.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
        self.close(text);
    }

    /// CONNACK with a refusal, or one that only a broker without MQTT 5 sends.
    pub(super) fn refused(&mut self, version: bool, text: &str) {
        self.attempt.refused = Some(version);
        self.close(text);
        if self.settings.scope == SessionScope::Discarded && !version {
            // There is nothing else that it is for.
            self.give_up();
        }
    }

    fn accepted(&mut self, connack: &Connack<'_>) {
        self.own.told_will = self.persona.will.is_some();
        let (now, properties, resumed) = (self.now, &connack.properties, connack.session_present);
        self.broker.learn(properties);
        self.window.reconnect(resumed, properties.receive_maximum().unwrap_or(u16::MAX));
        if !resumed {
            self.unreleased.clear();
            self.requests.forget();
        }
        self.release_earlier(resumed);
        self.dial.accepted();
        self.attempt.accepted = Some(now);
        self.own.stepping = false;
        self.reason = String::new();
        self.phase = Phase::Online(Alive::since(now));
        self.counts.up(LinkCount::Connects);
        self.counts.add(LinkCount::Up, 1);
        // A broker that forgot our session, took a CONNECT and could not tell us has a session, but not that one.
        let in_doubt = std::mem::take(&mut self.in_doubt);
        self.events.push_back(LinkEvent::Up { session_present: resumed && !in_doubt });
        self.send_requests();
        self.pump_due = true;
        let (client_id, server, version) =
            (&self.persona.client_id, self.server(self.dial.target()), self.broker.version);
        if self.is_own() {
            tracing::debug!(%client_id, %server, ?version, session_present = resumed, "broker connection of a client up");
        } else {
            tracing::info!(%client_id, %server, ?version, session_present = resumed, "broker connection up");
        }
    }

    /// Has the broker let go of what an earlier life published and never released.
    fn release_earlier(&mut self, resumed: bool) {
        if !resumed {
            self.window.release_all();
        }
        let ids = self.window.leftovers();
        self.release_by = (!ids.is_empty()).then(|| self.now.after_ms(RELEASE_WITHIN_MS));
        for id in ids {
            self.send(&Packet::Pubrel(Ack::new(id)));
        }
    }

    /// True once a link that is [`SessionScope::Discarded`] has done what it is for.
    #[must_use]
    pub const fn has_discarded(&self) -> bool {
        self.discarded
    }

    /// True when the session is to outlive this process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        matches!(self.settings.scope, SessionScope::Durable(_))
    }

    /// What the next process must know to go on with the session that this link has now; `None` when it is not meant to.
    #[must_use]
    pub fn session_record(&self) -> Option<SessionRecord> {
        if !self.is_durable() {
            return None;
        }
        let (target, version) = self.dial.home()?;
        let server = self.server(target).to_owned();
        Some(SessionRecord { server, version, last_packet_id: self.window.last_packet_id() })
    }

    /// True when the session at the broker that is being tried is ours to go on with.
    pub(super) fn resumes(&self) -> bool {
        self.persona.session_expiry_s > 0 && self.dial.is_home()
    }
}

impl Broker {
    pub(super) fn before_connack(version: Version, settings: &LinkSettings, persona: &Persona) -> Self {
        Self {
            version,
            max_qos: Qos::ExactlyOnce,
            retains: true,
            max_packet_size: usize::try_from(settings.max_packet_size).unwrap_or(MAX_REMAINING),
            identifiers: version == Version::V5 && settings.scope != SessionScope::Client,
            keepalive_s: persona.keepalive_s,
        }
    }

    fn learn(&mut self, connack: &Properties<'_>) {
        self.max_qos = connack.maximum_qos().unwrap_or(Qos::ExactlyOnce);
        self.retains = connack.retain_available().unwrap_or(true);
        self.keepalive_s = connack.server_keep_alive().unwrap_or(self.keepalive_s);
        self.identifiers &= connack.subscription_identifier_available().unwrap_or(true);
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

/// For a client to come back, in seconds, before the broker publishes its will.
const WILL_DELAY_S: u32 = 5;
/// For the broker to answer the PUBRELs of an earlier life.
const RELEASE_WITHIN_MS: u64 = 30_000;
