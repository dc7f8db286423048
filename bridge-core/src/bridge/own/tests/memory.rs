//! What an idle link of a client costs. The broker's answers are written out, so that nothing but ours is counted.

use super::world::{KEPT, SN, link, message};
use crate::bridge::own::OwnLinks;
use crate::bridge::{Bridge, BridgeSettings, LinkId, Notice, Policy};
use crate::peer::{ListenerId, Proven};
use crate::time::Now;
use crate::topic::{ClientId, TopicFilter};
use crate::uplink::{Applicant, ClientRef, Connect, Identity, Password, Taken, Token, Uplink};
use codec_mqtt::Qos;

const NOW: Now = Now { mono_ms: 1000, wall_ms: 0 };
const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

fn bridge() -> Bridge {
    let own_links = Some(OwnLinks { like: link(), connect_rate: 0 });
    let policy = Policy { own_links, ..Policy::default() };
    let mut bridge = Bridge::new(BridgeSettings {
        links: vec![link()],
        listeners: vec![],
        node: "n".into(),
        status: None,
        policy,
        seed: 1,
    });
    carry(&mut bridge, LinkId::shared(0));
    bridge
}

/// A link opens if it wishes to, all that it has to say leaves, and what it asks for comes.
fn carry(bridge: &mut Bridge, id: LinkId) {
    bridge.settle(NOW);
    let link = bridge.link_mut(id).unwrap();
    if link.pending().is_empty() {
        link.opening(NOW);
        link.opened(NOW);
    }
    let said = link.pending();
    let answer;
    let answer: &[u8] = match *said {
        [0x10, ..] => &CONNACK,
        [0x82, _, high, low, ..] => {
            answer = [0x90, 4, high, low, 0, 1];
            &answer
        }
        // Topic `a/b`, and a remaining length of two octets.
        [0x32, _, _, 0, 3, _, _, _, high, low, ..] => {
            answer = [0x40, 2, high, low, 0, 0];
            &answer[..4]
        }
        _ => panic!("{said:?}"),
    };
    let octets = said.len();
    link.written(octets);
    assert_eq!(bridge.receive(NOW, id, answer).0, answer.len());
    bridge.timer(NOW);
    bridge.settle(NOW);
    while bridge.take_touched_line().is_some() {}
}

fn enter(bridge: &mut Bridge, number: u64) -> (ClientRef, LinkId) {
    let (name, listener) = (format!("device-{number:05}"), ListenerId(0));
    let id = ClientId::try_from(name.as_str()).unwrap();
    let (username, password, wants) = ("factory-4711", Password(b"correct horse"), Some(KEPT));
    let who =
        Applicant { gateway: SN, listener, id, username, password, address: None, proven: Proven::default(), wants };
    let _parked = bridge.admit(NOW, Token(number), &who);
    bridge.settle(NOW);
    let mut line = None;
    while let Some(touched) = bridge.take_touched_line() {
        line = Some(touched);
    }
    let line = line.unwrap();
    carry(bridge, line);
    let Some(Notice::Decided { link: Some(own), .. }) = bridge.take_notice() else { panic!("let in") };
    let identity = Identity { username: username.into(), superuser: false };
    let who = Connect {
        gateway: SN,
        listener,
        id,
        identity: &identity,
        address: None,
        connectionless: false,
        link: Some(own),
    };
    let client = bridge.connect(Token(number), &who).unwrap();
    let filter = TopicFilter::try_from("site/7/commands/#").unwrap();
    let subscribe = Uplink::Subscribe { token: Token(1), filter, qos: Qos::AtLeastOnce, retained: true };
    assert_eq!(bridge.up(NOW, client, subscribe), Taken::Owed);
    carry(bridge, line);
    while bridge.take_notice().is_some() {}
    (client, line)
}

#[test]
fn an_idle_link_costs_little_and_a_busy_time_leaves_nothing_behind() {
    let mut bridge = bridge();
    while bridge.take_notice().is_some() {}
    let mut clients = Vec::with_capacity(4096);
    let spent = allocation_counter::measure(|| clients.extend((0..4096).map(|number| enter(&mut bridge, number))));
    let each = spent.bytes_current / 4096;
    assert!(each <= 1500, "{each} octets for a client with an idle link and a subscription");
    let publish = |bridge: &mut Bridge, (client, line): (ClientRef, LinkId)| {
        let text = "x".repeat(500);
        let what = message("a/b", &text, Qos::AtLeastOnce);
        assert_eq!(bridge.up(NOW, client, Uplink::Publish { token: Some(Token(1)), what }), Taken::Owed);
        carry(bridge, line);
        assert!(matches!(bridge.take_notice(), Some(Notice::Settled { .. })));
    };
    publish(&mut bridge, clients[0]);
    let left = allocation_counter::measure(|| clients.iter().for_each(|client| publish(&mut bridge, *client)));
    assert!(left.bytes_current.abs() < 1000, "{} octets are left of a busy time", left.bytes_current);
}
