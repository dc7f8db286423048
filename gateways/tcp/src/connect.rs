//! Who may come in, and what happens to who had the client id before.

use crate::base::version;
use crate::connection::{Commands, Hello, Session, State};
use crate::counts::{Count, turned_away};
use crate::machine::{Step, Tcp};
use bridge_core::machine::Cx;
use bridge_core::owners::Owner;
use bridge_core::peer::ShardId;
use bridge_core::slab::Key;
use bridge_core::text::in_short;
use bridge_core::topic::ClientId;
use bridge_core::uplink::{
    Admission, Applicant, Connect, Ending, Identity, Online, OwnLink, Password, Refusal, SessionWish, Token, Uplink,
};
use codec_rawtcp::ReturnCode;

/// What CONNACK says to who is in.
const WELCOME: &str = "Connect Successfully";
/// One line about devices that are not let in goes to the log in this time, in milliseconds.
const REFUSALS_TOLD_MS: u64 = 60_000;

/// Who says to be whom.
pub(crate) struct Claimant<'a> {
    pub(crate) id: &'a str,
    /// Empty = none.
    pub(crate) username: &'a str,
    pub(crate) password: &'a [u8],
    pub(crate) keepalive_s: u8,
    /// Of the protocol.
    pub(crate) version: u8,
}

impl Tcp {
    /// Asks whether a device may come in. Nothing is done for it, or against whoever has its client id, before that is
    /// known. `used`: octets that are done with then.
    pub(crate) fn judge(&mut self, cx: &mut Cx<'_>, key: Key, who: &Claimant<'_>, used: usize) -> Step {
        let Ok(id) = ClientId::try_from(who.id) else { return self.turned(cx, key, who, Refusal::BadIdentity) };
        if !who.username.is_empty() && !bridge_core::text::is_carriable(who.username) {
            return self.turned(cx, key, who, Refusal::BadIdentity);
        }
        if self.draining {
            return self.turned(cx, key, who, Refusal::Busy);
        }
        if let Some(shard) = self.lives_elsewhere(cx, who.id) {
            self.forget(key);
            return Step::Elsewhere(shard);
        }
        let Some(connection) = self.table.get_mut(key) else { return Step::Gone };
        let applicant = Applicant {
            gateway: self.base.gateway,
            listener: connection.listener,
            id,
            username: who.username,
            password: Password(who.password),
            address: Some(connection.addr),
            proven: connection.proven.view(),
            // The protocol knows no session that outlives its connection.
            wants: Some(SessionWish { clean: true, keepalive_s: who.keepalive_s.into(), expiry_s: 0 }),
        };
        let hello = || Hello {
            id: who.id.into(),
            username: who.username.into(),
            keepalive_s: who.keepalive_s,
            version: who.version,
        };
        match cx.bridge.admit(cx.now, Token(key.to_bits()), &applicant) {
            Admission::Granted(identity) => match self.enter(cx, key, hello(), identity, None) {
                Ok(()) => Step::Took(used),
                Err(why) => {
                    self.disclaim(cx, who.id);
                    self.turned(cx, key, who, why)
                }
            },
            Admission::Refused(why) => {
                self.disclaim(cx, who.id);
                self.turned(cx, key, who, why)
            }
            Admission::Parked => {
                cx.streams.pause(connection.conn);
                self.table.park(key, hello());
                self.base.gauge(Count::Connecting, false);
                self.base.gauge(Count::Waiting, true);
                Step::Took(used)
            }
        }
    }

    /// The shard that a client lives on, if that is another; else it lives here from now on.
    pub(crate) fn lives_elsewhere(&self, cx: &Cx<'_>, id: &str) -> Option<ShardId> {
        if self.table.named(id).is_some() {
            return None;
        }
        match cx.owners.claim(self.base.gateway, id) {
            Owner::Elsewhere(shard) => Some(shard),
            Owner::Here | Owner::Nobody => None,
        }
    }

    /// Who was asked has answered, or has not in time.
    pub(crate) fn on_decided(
        &mut self,
        cx: &mut Cx<'_>,
        applicant: Token,
        verdict: Result<&Identity, Refusal>,
        link: Option<OwnLink>,
    ) {
        let key = Key::from_bits(applicant.0);
        let Some(State::Waiting(hello)) = self.table.get(key).map(|connection| &connection.state) else {
            // It has gone meanwhile.
            return link.into_iter().for_each(|link| cx.bridge.dismiss(link));
        };
        let hello = Hello::clone(hello);
        let outcome = match verdict {
            Err(why) => Err(why),
            // The id may have gone to another shard while somebody was asked.
            Ok(_) if self.lives_elsewhere(cx, &hello.id).is_some() => Err(Refusal::Busy),
            Ok(_) if self.draining => Err(Refusal::Busy),
            Ok(identity) => self.enter(cx, key, hello, identity.clone(), link),
        };
        match outcome {
            Ok(()) => {
                if let Some(connection) = self.table.get(key) {
                    cx.streams.resume(connection.conn);
                }
            }
            Err(why) => {
                link.into_iter().for_each(|link| cx.bridge.dismiss(link));
                self.turn_away(cx, key, None, why);
            }
        }
    }

    /// The device may come in. Who had its client id gives way.
    fn enter(
        &mut self,
        cx: &mut Cx<'_>,
        key: Key,
        hello: Hello,
        identity: Identity,
        link: Option<OwnLink>,
    ) -> Result<(), Refusal> {
        let Some(connection) = self.table.get(key) else { return Err(Refusal::NoSuchClient) };
        let (listener, addr, waited) = (connection.listener, connection.addr, connection.id().is_some());
        let topics = self.base.topics(&hello.id, &identity, addr)?;
        let who = Connect {
            gateway: self.base.gateway,
            listener,
            id: ClientId::try_from(&*hello.id).map_err(|_fault| Refusal::BadIdentity)?,
            identity: &identity,
            address: Some(addr),
            connectionless: false,
            link,
        };
        cx.bridge.fits(&who)?;
        if let Some(older) = self.table.named(&hello.id) {
            self.base.counts.up(Count::TakenOver);
            self.give_way(cx, older);
        }
        let client = cx.bridge.connect(Token(key.to_bits()), &who)?;
        let shared = self.base.place(listener).is_some_and(|place| place.route.is_some());
        if waited {
            self.table.unpark(&hello.id);
        }
        let Some(connection) = self.table.get_mut(key) else { return Err(Refusal::NoSuchClient) };
        tracing::debug!(protocol = "tcp", client_id = %hello.id, peer = %addr, "connected");
        connection.since_ms = cx.now.mono_ms;
        connection.partial_since_ms = None;
        connection.state = State::Connected(Session {
            id: hello.id,
            identity,
            client,
            up_topic: topics.up,
            connected_ms: cx.now.wall_ms,
            keepalive_s: hello.keepalive_s,
            version: hello.version,
            commands: if shared { Commands::Shared } else { Commands::Owed },
            own_link: link.is_some(),
            owed: 0,
            block: None,
            held: None,
            extra: Vec::new(),
        });
        self.base.gauge(if waited { Count::Waiting } else { Count::Connecting }, false);
        self.base.gauge(Count::Active, true);
        self.table.enlist(key);
        self.connack(cx, key, ReturnCode::Accepted, WELCOME);
        let (version, clean, keepalive_s) = (version(hello.version), true, hello.keepalive_s.into());
        self.tell(cx, key, Uplink::Online(Online { address: addr, version, clean, keepalive_s }));
        self.ask_for_commands(cx, key, &topics.dn);
        self.renew_timer(cx.now, key);
        Ok(())
    }

    fn turned(&mut self, cx: &mut Cx<'_>, key: Key, who: &Claimant<'_>, why: Refusal) -> Step {
        self.turn_away(cx, key, Some(who), why);
        Step::Gone
    }

    /// The device is not let in: CONNACK says so, where it knows that. `who`: who it said to be; `None` = that is known
    /// of the connection, or it is not.
    pub(crate) fn turn_away(&mut self, cx: &mut Cx<'_>, key: Key, who: Option<&Claimant<'_>>, why: Refusal) {
        let Some(connection) = self.table.get(key) else { return };
        let (id, name) = match (who, &connection.state) {
            (Some(who), _) => (in_short(who.id), in_short(who.username)),
            (None, State::Waiting(hello)) => (in_short(&hello.id), in_short(&hello.username)),
            (None, State::New | State::Connected(_)) => Default::default(),
        };
        let (peer, reason, count) = (connection.addr, why.reason(), turned_away(why));
        // Ours to mend, and told where it is: the broker is away, or too many have come.
        let is_told = count != Count::NotAdmitted && self.quiet_until.is_none_or(|until| until.is_due(cx.now));
        if is_told {
            self.quiet_until = Some(cx.now.after_ms(REFUSALS_TOLD_MS));
            let told = "not let in; for a minute others are only counted";
            tracing::warn!(protocol = "tcp", client_id = id, username = name, %peer, reason, "{told}");
        } else {
            tracing::debug!(protocol = "tcp", client_id = id, username = name, %peer, reason, "refused");
        }
        self.base.counts.up(count);
        self.connack(cx, key, ReturnCode::AuthFailed, says(why));
        self.close(cx, key, Ending::NotAuthorised);
    }

    /// The id need not live here, if nobody has it or is being judged for it, and nobody who had it is owed anything.
    pub(crate) fn disclaim(&self, cx: &Cx<'_>, id: &str) {
        if self.table.named(id).is_none() && !self.table.is_wanted(id) && !self.lingering.has(id) {
            cx.owners.release(self.base.gateway, id);
        }
    }
}

/// What CONNACK says to who is not let in, for people: the code is the same for all.
const fn says(why: Refusal) -> &'static str {
    match why {
        Refusal::BadIdentity | Refusal::BadTopic | Refusal::Broker(0x85) => "Client Id Not Allowed",
        Refusal::BrokerAway | Refusal::AuthUnavailable | Refusal::Broker(0x88) => "Server Unavailable",
        Refusal::Busy | Refusal::Limit | Refusal::Broker(0x89 | 0x97 | 0x9F) => "Server Busy",
        Refusal::Broker(0x8A) => "Banned",
        Refusal::TooLarge
        | Refusal::NoSuchClient
        | Refusal::BadCredentials
        | Refusal::NotAuthorised { .. }
        | Refusal::Broker(_) => "Authentication Failed",
    }
}
