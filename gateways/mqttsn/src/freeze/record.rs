//! One session as octets. All numbers but the single octets are of [variable length](super::octets).
//!
//! | part | what |
//! |---|---|
//! | head | version (1 octet), flags (1 octet), state (1 octet), since when in milliseconds since 1970, connected since, keep-alive, sleep in seconds |
//! | address | listener, port, address of the peer (4 or 6 and the octets, with 6 the interface), our own (0, 4 or 6 and the octets), node behind a forwarder (0, or length + 1 and octets) |
//! | identity | user name; if flagged, what the transport proved; if flagged, the will |
//! | registry | ids used, how many; each: known, or to be told (1 octet), id, name |
//! | subscriptions | how many; each: QoS and kind (1 octet), filter |
//! | receipts | how many; each: topic id, msg id, digest, QoS and stage (1 octet) |
//! | down | last msg id; if flagged, what is in flight: msg id, stage (1 octet), message; if flagged, the REGISTER under way: topic id, msg id; how many are held; each a message |
//! | message | QoS, retain and expiry (1 octet), topic, payload, if flagged when it expires; what is held has before it: QoS and way (1 octet), id or octets |

use super::octets::{put, put_bytes, take, take_bytes, take_text};
use crate::address::{Address, At};
use crate::base::Base;
use crate::down::{Down, InFlight, Registering, Stage};
use crate::hold::{Held, Way};
use crate::predefined::Known;
use crate::receipts::{self, Receipts};
use crate::registry::Registry;
use crate::session::{NapLink, Session, Sleep, State};
use crate::subscriptions::Subscriptions;
use bridge_core::Qos;
use bridge_core::peer::{ListenerId, Peer, Proven, ProvenBuf};
use bridge_core::publication::{Publication, Stored};
use bridge_core::time::Now;
use bridge_core::topic::TopicName;
use bridge_core::uplink::Identity;
use codec_mqttsn::{MsgId, TopicId};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use wire::Reader;

const VERSION: u8 = 1;

// Flags of the head.
const CLEAN: u8 = 1;
const PROVEN: u8 = 2;
const SUPERUSER: u8 = 4;
const WILL: u8 = 8;
const IN_FLIGHT: u8 = 16;
/// It came through an association, which does not outlive the process.
const SECURED: u8 = 32;
const REGISTERING: u8 = 64;
/// What is proved of it was proved by a certificate, not by a pre-shared key.
const CERTIFICATE: u8 = 128;

// States.
const AWAY: u8 = 0;
const ACTIVE: u8 = 1;
const ASLEEP: u8 = 2;

// Of a topic of the registry.
const KNOWN: u8 = 1;
const OWED: u8 = 2;

// Of a message, above the two bits of its QoS.
const RETAIN: u8 = 4;
const EXPIRES: u8 = 8;

// Of what is held, above the two bits of its QoS.
const PREDEFINED: u8 = 4;
const SHORT: u8 = 8;
/// From this bit on: how often the client did not know its topic id, 15 at most.
const UNTOLD: u32 = 4;

// Of a subscription, above the two bits of its QoS.
const NAMED: u8 = 4;

// Of a receipt.
const EXACTLY_ONCE: u8 = 1;
const FINISHED: u8 = 2;

/// Appends the session as it is at `now`.
pub(super) fn write(session: &Session, base: &Base, now: Now, into: &mut Vec<u8>) {
    let will = session.will.as_deref().filter(|will| will.view(now).is_some());
    let flight = session.down.in_flight.as_ref().filter(|flight| flight.held.message.view(now).is_some());
    // Who is awake comes back asleep: it is told anew.
    let registering = session.down.registering.as_ref().filter(|_| session.is_active());
    let (at, proven) = (session.address.at(), session.proven.view());
    let flags = [
        (session.clean, CLEAN),
        (proven.identity().is_some(), PROVEN),
        (matches!(proven, Proven::Certificate(_)), CERTIFICATE),
        (session.identity.superuser, SUPERUSER),
        (will.is_some(), WILL),
        (flight.is_some(), IN_FLIGHT),
        (at.peer.secure.is_some(), SECURED),
        (registering.is_some(), REGISTERING),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
    let (state, since_ms) = match &session.state {
        State::Away { since_ms } => (AWAY, *since_ms),
        State::Active { .. } => (ACTIVE, 0),
        State::Asleep(_) | State::Awake(_) => (ASLEEP, 0),
        // What the dialogue has come to is forgotten: the client says CONNECT again.
        State::Connecting(_) if session.has_connection() => (ACTIVE, 0),
        State::Connecting(_) => (AWAY, now.wall_ms),
    };
    into.extend_from_slice(&[VERSION, flags, state]);
    put(into, since_ms);
    put(into, session.connected_ms);
    put(into, session.keepalive_s.into());
    put(into, session.sleep_s().into());
    write_address(at, into);
    put_bytes(into, session.identity.username.as_bytes());
    if let Some(identity) = proven.identity() {
        put_bytes(into, identity.as_bytes());
    }
    if let Some(will) = will {
        write_message(will, now, into);
    }
    write_topics(session, base, into);
    write_receipts(&session.receipts, into);
    put(into, session.down.last_msg_id().into());
    if let Some(flight) = flight {
        put(into, flight.msg_id.0.into());
        into.push(u8::from(flight.stage == Stage::Released));
        write_held(&flight.held, now, into);
    }
    if let Some(registering) = registering {
        put(into, registering.topic_id.0.into());
        put(into, registering.msg_id.0.into());
    }
    let held: Vec<&Held> = session.down.queue.iter().filter(|held| held.message.view(now).is_some()).collect();
    put(into, held.len() as u64);
    held.into_iter().for_each(|held| write_held(held, now, into));
}

fn write_address(at: At<'_>, into: &mut Vec<u8>) {
    put(into, at.peer.listener.0.into());
    put(into, at.peer.addr.port().into());
    write_ip(Some(at.peer.addr.ip()), into);
    if let SocketAddr::V6(addr) = at.peer.addr {
        put(into, addr.scope_id().into());
    }
    write_ip(at.peer.local, into);
    match at.node {
        None => put(into, 0),
        Some(node) => {
            put(into, (node.len() as u64).saturating_add(1));
            into.extend_from_slice(node);
        }
    }
}

fn write_ip(ip: Option<IpAddr>, into: &mut Vec<u8>) {
    match ip {
        None => into.push(0),
        Some(IpAddr::V4(ip)) => {
            into.push(4);
            into.extend_from_slice(&ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            into.push(6);
            into.extend_from_slice(&ip.octets());
        }
    }
}

fn write_topics(session: &Session, base: &Base, into: &mut Vec<u8>) {
    put(into, session.registry.used().into());
    put(into, session.registry.len() as u64);
    for (id, name, known, owed) in session.registry.iter() {
        into.push(if known { KNOWN } else { 0 } | if owed { OWED } else { 0 });
        put(into, id.0.into());
        put_bytes(into, name.as_str().as_bytes());
    }
    let predefined = base.rules.predefined.known(session.predefined.as_deref());
    let subscriptions: Vec<_> = session.subscriptions.frozen(&session.registry, predefined).collect();
    put(into, subscriptions.len() as u64);
    for (filter, qos, named) in subscriptions {
        into.push(qos.bits() | if named { NAMED } else { 0 });
        put_bytes(into, filter.as_bytes());
    }
}

fn write_receipts(receipts: &Receipts, into: &mut Vec<u8>) {
    // What the broker has not acknowledged is with the link: the device sends it again.
    let settled: Vec<_> = receipts.iter().filter(|receipt| receipt.stage != receipts::Stage::Owed).collect();
    put(into, settled.len() as u64);
    for receipt in settled {
        put(into, receipt.topic_id.into());
        put(into, receipt.msg_id.0.into());
        put(into, receipt.digest.into());
        let finished = if receipt.stage == receipts::Stage::Finished { FINISHED } else { 0 };
        into.push(finished | if receipt.exactly_once { EXACTLY_ONCE } else { 0 });
    }
}

fn write_held(held: &Held, now: Now, into: &mut Vec<u8>) {
    let (kind, id) = match held.way {
        Way::Normal(id) => (0, id.0),
        Way::Predefined(id) => (PREDEFINED, id.0),
        Way::Short(octets) => (SHORT, u16::from_be_bytes(octets)),
    };
    into.push(held.qos.bits() | kind | (held.untold.min(15) << UNTOLD));
    put(into, id.into());
    write_message(&held.message, now, into);
}

/// One that has expired is not written.
fn write_message(message: &Stored, now: Now, into: &mut Vec<u8>) {
    let Some(view) = message.view(now) else { return };
    let (retain, expires) = (if view.retain { RETAIN } else { 0 }, if message.expires.is_some() { EXPIRES } else { 0 });
    into.push(view.qos.bits() | retain | expires);
    put_bytes(into, view.topic.as_str().as_bytes());
    put_bytes(into, view.payload);
    if let Some(at) = message.expires {
        put(into, now.wall_ms.saturating_add(at.wait_ms(now)));
    }
}

/// What is predefined for the client, and how many topics of its own it may have.
type Topics<'a> = (Known<'a>, u16);

/// Reads a session that [`write`] wrote, perhaps long ago. It is known to nobody yet, and none of its timers runs.
pub(super) fn read(base: &Base, now: Now, id: &str, record: &[u8]) -> Option<Session> {
    let from = &mut Reader::new(record);
    let [version, flags, state] = *from.take(3, "head").ok()?.first_chunk()?;
    if version != VERSION {
        return None;
    }
    let since_ms = take(from)?;
    let (connected_ms, keepalive_s, duration_s) = (take(from)?, take(from)?, take(from)?);
    let heard_ms = now.mono_ms;
    let state = match state {
        AWAY => State::Away { since_ms },
        // There is no way to it but the association, which is gone.
        ACTIVE if flags & SECURED != 0 => State::Away { since_ms: now.wall_ms },
        ACTIVE => State::Active { heard_ms, told_will: false },
        // Who sleeps comes with PINGREQ, through whatever association.
        ASLEEP if duration_s > 0 => State::Asleep(Sleep { heard_ms, duration_s, link: NapLink::Kept }),
        _ => return None,
    };
    let address = read_address(from)?;
    let identity = Identity { username: take_text(from)?.into(), superuser: flags & SUPERUSER != 0 };
    let proven = match (flags & PROVEN != 0, flags & CERTIFICATE != 0) {
        (false, _) => ProvenBuf::Nothing,
        (true, false) => ProvenBuf::Psk(take_text(from)?.into()),
        (true, true) => ProvenBuf::Certificate(take_text(from)?.into()),
    };
    let will = if flags & WILL != 0 { Some(read_message(from, now)?) } else { None };
    let predefined = base.rules.predefined.own(id);
    let topics = (base.rules.predefined.known(predefined.as_deref()), base.rules.max_topics);
    let mut registry = read_registry(from, topics)?;
    let subscriptions = read_subscriptions(from, topics, &mut registry)?;
    let receipts = read_receipts(from)?;
    let down = read_down(from, base, now, flags, &mut registry, topics)?;
    from.finish().ok()?;
    Some(Session {
        id: id.into(),
        generated: false,
        stored: true,
        address,
        proven,
        identity,
        predefined,
        connected_ms,
        clean: flags & CLEAN != 0,
        keepalive_s,
        client: None,
        state,
        life: None,
        will: will.filter(|will| will.view(now).is_some()).map(Box::new),
        registry,
        subscriptions,
        receipts,
        down,
    })
}

fn read_address(from: &mut Reader<'_>) -> Option<Address> {
    let (listener, port) = (take(from)?, take(from)?);
    let addr = match read_ip(from)?? {
        IpAddr::V4(ip) => SocketAddr::from((ip, port)),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, take(from)?).into(),
    };
    let peer = Peer::plain(ListenerId(listener), addr, read_ip(from)?);
    let node = match take::<usize>(from)?.checked_sub(1) {
        None => None,
        Some(length) => Some(from.take(length, "node").ok()?),
    };
    Some(Address::from(At { peer, node }))
}

fn read_ip(from: &mut Reader<'_>) -> Option<Option<IpAddr>> {
    let field = "address";
    match from.u8(field).ok()? {
        0 => Some(None),
        4 => from.take(4, field).ok()?.first_chunk::<4>().map(|octets| Some(IpAddr::from(*octets))),
        6 => from.take(16, field).ok()?.first_chunk::<16>().map(|octets| Some(IpAddr::from(*octets))),
        _ => None,
    }
}

/// Names beyond what the configuration now allows are forgotten: their ids go with them, and nobody else gets these.
fn read_registry(from: &mut Reader<'_>, (_, most): Topics<'_>) -> Option<Registry> {
    let mut registry = Registry::default();
    let mut full = false;
    let used = take::<u16>(from)?;
    for _ in 0..take::<u16>(from)? {
        let flags = from.u8("known").ok()?;
        let id = TopicId(take(from)?);
        let name = TopicName::try_from(take_text(from)?).ok()?;
        full |= !registry.has_room(name, most);
        if full {
            continue;
        }
        registry.bring_back(id, name, most)?;
        if flags & OWED != 0 {
            registry.owe(id);
        } else {
            registry.set_known(id, flags & KNOWN != 0);
        }
    }
    registry.brought_back(used)?;
    Some(registry)
}

fn read_subscriptions(from: &mut Reader<'_>, topics: Topics<'_>, registry: &mut Registry) -> Option<Subscriptions> {
    let mut subscriptions = Subscriptions::default();
    for _ in 0..take::<u16>(from)? {
        let flags = from.u8("flags").ok()?;
        let qos = Qos::from_bits(flags & 3)?;
        subscriptions.restore(take_text(from)?, qos, flags & NAMED != 0, registry, topics)?;
    }
    Some(subscriptions)
}

fn read_receipts(from: &mut Reader<'_>) -> Option<Receipts> {
    let mut receipts = Receipts::default();
    for _ in 0..take::<u8>(from)? {
        let (topic_id, msg_id, digest) = (take(from)?, MsgId(take(from)?), take(from)?);
        let flags = from.u8("flags").ok()?;
        let stage = if flags & FINISHED != 0 { receipts::Stage::Finished } else { receipts::Stage::Received };
        receipts.restore(topic_id, msg_id, digest, flags & EXACTLY_ONCE != 0, stage);
    }
    Some(receipts)
}

fn read_down(
    from: &mut Reader<'_>,
    base: &Base,
    now: Now,
    flags: u8,
    registry: &mut Registry,
    topics: Topics<'_>,
) -> Option<Down> {
    let mut down = Down::from_msg_id(take(from)?);
    if flags & IN_FLIGHT != 0 {
        let msg_id = MsgId(take(from)?);
        let stage = if from.u8("stage").ok()? == 0 { Stage::Published } else { Stage::Released };
        let held = read_held(from, topics, now, registry)?;
        // QoS 0 flies no further than its datagram.
        let flight = |held| Box::new(InFlight { held, msg_id, stage, tries: 0, timer: None });
        down.in_flight = held.filter(|held| held.qos != Qos::AtMostOnce).map(flight);
    }
    if flags & REGISTERING != 0 {
        let (topic_id, msg_id) = (TopicId(take(from)?), MsgId(take(from)?));
        down.registering = Some(Registering { topic_id, msg_id, tries: 0, timer: None });
    }
    for _ in 0..take::<u64>(from)? {
        if let Some(held) = read_held(from, topics, now, registry)? {
            base.dropped(&down.queue.push(held, base.rules.hold));
        }
    }
    Some(down)
}

/// `Some(None)`: it has expired, or its topic has no name any more under which it could be sent.
fn read_held(
    from: &mut Reader<'_>,
    (predefined, most): Topics<'_>,
    now: Now,
    registry: &mut Registry,
) -> Option<Option<Held>> {
    let flags = from.u8("flags").ok()?;
    let (qos, id) = (Qos::from_bits(flags & 3)?, take::<u16>(from)?);
    let message = read_message(from, now)?;
    let Some(topic) = message.view(now).map(|view| view.topic) else { return Some(None) };
    let way = match flags & (PREDEFINED | SHORT) {
        0 => registry.find(topic).map(Way::Normal),
        PREDEFINED if predefined.name(TopicId(id)) == Some(topic) => Some(Way::Predefined(TopicId(id))),
        SHORT => <[u8; 2]>::try_from(topic.as_str().as_bytes()).ok().map(Way::Short),
        _ => None,
    };
    // What was predefined, or what went beyond a limit: an id of its own, if there is one.
    let way = way.or_else(|| registry.give(topic, most).map(Way::Normal));
    let (untold, message) = (flags >> UNTOLD, Arc::new(message));
    Some(way.map(|way| Held { way, qos, untold, late: false, receipt: None, message }))
}

fn read_message(from: &mut Reader<'_>, now: Now) -> Option<Stored> {
    let flags = from.u8("flags").ok()?;
    let topic = TopicName::try_from(take_text(from)?).ok()?;
    let payload = take_bytes(from)?;
    let qos = Qos::from_bits(flags & 3)?;
    let publication = Publication { topic, payload, qos, retain: flags & RETAIN != 0, expiry_s: None };
    let mut message = Stored::copy(&publication, now);
    if flags & EXPIRES != 0 {
        message.expires = Some(now.after_ms(take::<u64>(from)?.saturating_sub(now.wall_ms)));
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MqttsnConfig;
    use bridge_core::peer::GatewayId;

    const NOW: Now = Now { mono_ms: 5000, wall_ms: 1_700_000_000_000 };

    fn session(address: Address) -> Session {
        let mut registry = Registry::default();
        registry.brought_back(0).unwrap();
        Session {
            id: "dev".into(),
            generated: false,
            stored: true,
            address,
            proven: ProvenBuf::Certificate("dev".into()),
            identity: Identity { username: "ann".into(), superuser: true },
            connected_ms: 1_600_000_000_000,
            clean: false,
            keepalive_s: 65_535,
            client: None,
            state: State::Away { since_ms: 1_650_000_000_000 },
            life: None,
            will: None,
            predefined: None,
            registry,
            subscriptions: Subscriptions::default(),
            receipts: Receipts::default(),
            down: Down::from_msg_id(65_535),
        }
    }

    #[test]
    fn wherever_and_whoever_a_client_is_it_reads_back() {
        let base = Base::new(GatewayId(0), &MqttsnConfig::default(), 1);
        let (v4, v6) = (IpAddr::from([10, 1, 2, 3]), IpAddr::from([0xFE80, 0, 0, 0, 0, 0, 0, 7]));
        let nodes = [None, Some(&b""[..]), Some(b"\x00\xFF")];
        for (ip, local, node, superuser, proven) in [
            (v4, None, nodes[0], true, Proven::Nothing),
            (v6, Some(v6), nodes[1], false, Proven::Psk("dev")),
            (v4, Some(v4), nodes[2], true, Proven::Certificate("dev")),
            (v6, None, nodes[2], false, Proven::Nothing),
        ] {
            let addr = match ip {
                IpAddr::V4(_) => SocketAddr::new(ip, 65_535),
                IpAddr::V6(ip) => SocketAddrV6::new(ip, 1884, 0, 2).into(),
            };
            let peer = Peer::plain(ListenerId(300), addr, local);
            let mut before = session(Address::from(At { peer, node }));
            before.identity.superuser = superuser;
            before.proven = proven.into();
            let mut record = Vec::new();
            write(&before, &base, NOW, &mut record);
            let after = read(&base, NOW, "dev", &record);
            assert_eq!(format!("{after:?}"), format!("{:?}", Some(before)));
        }
    }
}
