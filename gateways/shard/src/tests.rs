mod streams;

use super::*;
use crate::counts::ShardCount;
use bridge_core::access::AccessList;
use bridge_core::ask::{Answer, Ask};
use bridge_core::auth::{self, AuthRules, ChainEntry, EntryKind, Opinion, StoreId};
use bridge_core::bridge::{BridgeSettings, Policy};
use bridge_core::gate::{Gate, Gates, Shut};
use bridge_core::listeners::{ListenerPolicy, Listeners};
use bridge_core::machine::{Cx, Handled, Input, Machine};
use bridge_core::owners::{Directory, Owner};
use bridge_core::peer::{GatewayId, ListenerId, Peer, Proven, ProvenBuf, ShardId};
use bridge_core::time::{Deadline, Now};
use bridge_core::uplink::{Admission, Applicant, Password, Token};
use std::net::SocketAddr;
use std::sync::Arc;

const START: Now = Now { mono_ms: 0, wall_ms: 0 };

/// `+NAME` makes the client live here, `-NAME` ends it, `?NAME` asks who may come in, anything else comes back.
struct Echo;

impl Machine for Echo {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        if let Input::Decided { applicant, verdict, .. } = input {
            let user = verdict.map(|identity| &*identity.username);
            cx.out.datagram(peer(0), |out| out.extend_from_slice(format!("{applicant:?} {user:?}").as_bytes()));
        }
        let Input::Datagram { peer, bytes, .. } = input else { return Handled::Here };
        let name = std::str::from_utf8(bytes.get(1..).unwrap_or_default()).unwrap();
        if bytes.starts_with(b"+")
            && let Owner::Elsewhere(shard) = cx.owners.claim(GatewayId(0), name)
        {
            return Handled::Elsewhere(shard);
        }
        if bytes.starts_with(b"?") {
            let who = Applicant {
                gateway: GatewayId(0),
                listener: ListenerId(0),
                id: name.try_into().unwrap(),
                username: name,
                password: Password(b""),
                address: None,
                proven: Proven::default(),
                wants: None,
            };
            assert_eq!(cx.bridge.admit(cx.now, Token(5), &who), Admission::Parked);
            return Handled::Here;
        }
        if bytes.starts_with(b"-") {
            cx.owners.release(GatewayId(0), name);
        }
        cx.out.datagram(peer, |out| out.extend_from_slice(bytes));
        Handled::Here
    }

    fn next_deadline(&self) -> Option<Deadline> {
        None
    }

    fn sessions(&self) -> usize {
        0
    }

    fn ask(&mut self, _cx: &mut Cx<'_>, _ask: &Ask<'_>) -> Answer {
        Answer::NoSuchClient
    }
}

fn shards(count: u8) -> Vec<Shard> {
    let directory = Arc::new(Directory::default());
    let echo = |number| shard(number, &directory, Gates::default(), GatewayId(0).into(), Box::new(Echo));
    (0..count).map(echo).collect()
}

/// One with a single listener and no links.
fn shard(
    number: u8,
    directory: &Arc<Directory>,
    gates: Gates,
    listener: Listener,
    machine: Box<dyn Machine + Send>,
) -> Shard {
    let bridge = BridgeSettings {
        links: Vec::new(),
        listeners: Vec::new(),
        node: "n".into(),
        status: None,
        policy: Policy::default(),
        seed: 1,
    };
    let settings = ShardSettings {
        id: ShardId(number),
        bridge,
        listeners: vec![listener],
        gates,
        directory: Arc::clone(directory),
        max_routes: 8,
        durable: false,
        seed: 1,
    };
    Shard::new(settings, vec![machine])
}

fn peer(port: u16) -> Peer {
    Peer::plain(ListenerId(0), SocketAddr::from(([127, 0, 0, 1], port)), None)
}

fn said(shard: &mut Shard) -> Vec<Vec<u8>> {
    let said = shard.outbox().iter().map(|(_, bytes)| bytes.to_vec()).collect();
    shard.outbox().clear();
    said
}

/// Carries forwards until there are none; returns how many there were.
fn carry(shards: &mut [Shard]) -> usize {
    let mut carried = 0;
    while let Some(forward) = shards.iter_mut().find_map(|shard| shard.parcels().pop()) {
        carried += 1;
        shards[usize::from(forward.to().0)].receive(START, &forward);
    }
    carried
}

#[test]
fn a_client_that_lives_elsewhere_is_served_there_and_so_is_its_address_from_then_on() {
    let mut all = shards(2);
    all[0].datagram(START, peer(1), Proven::default(), b"+lamp");
    assert_eq!(said(&mut all[0]), [b"+lamp"]);
    all[1].datagram(START, peer(2), Proven::default(), b"+lamp");
    assert_eq!((carry(&mut all), said(&mut all[1]).len()), (1, 0));
    assert_eq!(said(&mut all[0]), [b"+lamp"], "the owner answers");
    all[1].datagram(START, peer(2), Proven::default(), b"hello");
    assert_eq!(carry(&mut all), 1, "whatever it says goes the same way");
    assert_eq!(said(&mut all[0]), [b"hello"]);
    all[1].datagram(START, peer(3), Proven::default(), b"hello");
    assert_eq!((carry(&mut all), said(&mut all[1])), (0, vec![b"hello".to_vec()]), "another address does not");
}

#[test]
fn a_stale_route_leads_on_to_the_new_owner() {
    let mut all = shards(3);
    all[0].datagram(START, peer(1), Proven::default(), b"+lamp");
    all[1].datagram(START, peer(2), Proven::default(), b"+lamp");
    carry(&mut all);
    all[0].datagram(START, peer(1), Proven::default(), b"-lamp");
    all[2].datagram(START, peer(3), Proven::default(), b"+lamp");
    all.iter_mut().for_each(|shard| shard.outbox().clear());
    all[1].datagram(START, peer(2), Proven::default(), b"+lamp");
    carry(&mut all);
    assert_eq!(said(&mut all[2]), [b"+lamp"]);
    all[1].datagram(START, peer(2), Proven::default(), b"hello");
    carry(&mut all);
    assert_eq!(said(&mut all[2]), [b"hello"], "what follows goes there too");
}

#[test]
fn an_address_that_is_a_client_of_this_shard_again_is_served_here() {
    let mut all = shards(2);
    all[0].datagram(START, peer(1), Proven::default(), b"+lamp");
    all[1].datagram(START, peer(2), Proven::default(), b"+door");
    all[1].datagram(START, peer(2), Proven::default(), b"+lamp");
    carry(&mut all);
    all.iter_mut().for_each(|shard| shard.outbox().clear());
    for word in ["+door", "hello"] {
        all[1].datagram(START, peer(2), Proven::default(), word.as_bytes());
        carry(&mut all);
        assert_eq!((said(&mut all[1]), said(&mut all[0]).len()), (vec![word.as_bytes().to_vec()], 0), "{word}");
    }
}

#[test]
fn a_datagram_does_not_go_round_for_ever() {
    let mut all = shards(3);
    all[0].datagram(START, peer(1), Proven::default(), b"+lamp");
    let forward = Forward {
        to: ShardId(1),
        entry: ShardId(2),
        owner: None,
        peer: peer(2),
        proven: ProvenBuf::Nothing,
        bytes: b"+lamp"[..].into(),
        hops: 3,
    };
    all[1].receive(START, &Parcel::Datagram(forward));
    assert_eq!((carry(&mut all), said(&mut all[0]).len()), (0, 1), "nothing was passed on for the fourth time");
}

#[test]
fn time_does_not_go_back() {
    let mut all = shards(1);
    all[0].datagram(Now { mono_ms: 50, wall_ms: 1 }, peer(1), Proven::default(), b"a");
    all[0].timer(START);
    all[0].finish(START);
    assert_eq!(all[0].next_deadline(), None);
}

#[test]
fn a_stores_word_goes_to_the_machine_that_asked() {
    let mut shard = shards(1).remove(0);
    let store = ChainEntry { gateways: Vec::new(), kind: EntryKind::Store(StoreId(0)) };
    let rules = |entries| Arc::new(AuthRules { entries, timeout_ms: 100, ..AuthRules::default() });
    shard.replace_rules(rules(vec![store]), Arc::default(), Arc::default());
    for word in [Some(Opinion::Allow { superuser: false }), Some(Opinion::Deny), None] {
        shard.datagram(START, peer(1), Proven::default(), b"?lamp");
        shard.finish(START);
        let question = shard.take_question().unwrap();
        assert!(shard.take_question().is_none());
        let expected = match word {
            Some(opinion) => {
                shard.answer(START, auth::Answer { id: question.id, opinion });
                shard.finish(START);
                if opinion == Opinion::Deny { "Token(5) Err(BadCredentials)" } else { "Token(5) Ok(\"lamp\")" }
            }
            None => {
                assert_eq!(shard.next_deadline(), Some(Deadline(100)));
                let late = Now { mono_ms: 100, ..START };
                shard.timer(late);
                shard.finish(late);
                "Token(5) Err(AuthUnavailable)"
            }
        };
        assert_eq!(said(&mut shard), [expected.as_bytes()]);
    }
}

/// One shard whose listener 0 hears nobody but 127.0.0.2, and lets in two connections, one a second.
fn guarded() -> Shard {
    let mut shard = shards(1).remove(0);
    let access = AccessList::from(&["allow 127.0.0.2".parse().unwrap()][..]);
    let policy = ListenerPolicy { access, ..ListenerPolicy::default() };
    shard.replace_rules(Arc::default(), Arc::default(), Arc::new(Listeners::new(vec![policy])));
    shard.around.gates = Gates::new(vec![Gate::new(2, 1)]);
    shard
}

fn refused(shard: &Shard) -> [u64; 4] {
    [
        ShardCount::DatagramDenied,
        ShardCount::ConnectionDenied,
        ShardCount::ConnectionFull,
        ShardCount::ConnectionTooFast,
    ]
    .map(|what| shard.counts.get(what))
}

#[test]
fn a_datagram_from_an_address_that_is_not_heard_is_dropped_unread() {
    let mut shard = guarded();
    shard.datagram(START, peer(1), Proven::default(), b"a");
    let heard = Peer { addr: SocketAddr::from(([127, 0, 0, 2], 1)), ..peer(1) };
    shard.datagram(START, heard, Proven::default(), b"b");
    assert_eq!((said(&mut shard), refused(&shard)), (vec![b"b".to_vec()], [1, 0, 0, 0]));
}

#[test]
fn a_connection_that_may_not_come_is_counted_by_what_keeps_it_out() {
    let mut shard = guarded();
    let heard = Peer { addr: SocketAddr::from(([127, 0, 0, 2], 1)), ..peer(1) };
    let at = |mono_ms| Now { mono_ms, wall_ms: 0 };
    let mut opened = |mono_ms, peer| shard.opened(at(mono_ms), peer, Proven::default()).err();
    assert_eq!(
        [opened(0, peer(1)), opened(0, heard), opened(0, heard)],
        [Some(Shut::Denied), None, Some(Shut::TooFast)]
    );
    assert_eq!([opened(1000, heard), opened(2000, heard)], [None, Some(Shut::Full)]);
    assert_eq!((refused(&shard), shard.streams().len()), ([0, 1, 1, 1], 2));
    assert_eq!(shard.around.gates.get(ListenerId(0)).unwrap().sessions(), 2);
}

#[test]
fn a_place_may_be_taken_before_a_connection_is_known_and_is_free_again_if_nothing_comes_of_it() {
    let mut shard = guarded();
    let heard = Peer { addr: SocketAddr::from(([127, 0, 0, 2], 1)), ..peer(1) };
    let at = |mono_ms| Now { mono_ms, wall_ms: 0 };
    let mut place = |mono_ms, peer: Peer| shard.place(at(mono_ms), ListenerId(0), peer.addr.ip()).err();
    assert_eq!([place(0, peer(1)), place(0, heard), place(0, heard)], [Some(Shut::Denied), None, Some(Shut::TooFast)]);
    assert_eq!([place(1000, heard), place(2000, heard)], [None, Some(Shut::Full)]);
    assert_eq!((refused(&shard), shard.streams().len()), ([0, 1, 1, 1], 0));
    shard.vacate(ListenerId(0));
    assert!(shard.adopt(at(2000), heard, Proven::default()).is_ok());
    let sessions = |shard: &Shard| shard.around.gates.get(ListenerId(0)).unwrap().sessions();
    assert_eq!(sessions(&shard), 1, "who had a place is not counted again");
    assert_eq!(shard.opened(at(3000), heard, Proven::default()).err(), None);
}
