//! Connections, with a machine that speaks in lines.

use super::*;
use bridge_core::gate::{Gate, Shut};
use bridge_core::outbox::Post;
use bridge_core::publication::{Publication, Stored};
use bridge_core::streams::{CloseReason, ConnRef, Flow, Marks};
use bridge_core::topic::TopicName;

/// A line `+NAME` makes the client live here, `.` closes the connection, `>NAME` posts to the other shard, anything else
/// comes back. What else it hears it writes down.
#[derive(Default)]
struct Lines {
    heard: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Machine for Lines {
    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) -> Handled {
        let Input::Stream { conn, bytes } = input else {
            let told = match input {
                Input::Opened { proven, .. } => format!("opened {:?}", proven),
                Input::Writable { .. } => "writable".into(),
                Input::Closed { why, .. } => format!("closed {why:?}"),
                Input::Posted(post) => format!("posted {} {}", post.client, post.message.view(START).unwrap().topic),
                _ => return Handled::Here,
            };
            self.heard.lock().unwrap().push(told);
            return Handled::Here;
        };
        let Some(end) = bytes.iter().position(|octet| *octet == b'\n') else { return Handled::Took(0) };
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        match line.split_at(1) {
            ("+", name) => {
                if let Owner::Elsewhere(shard) = cx.owners.claim(GatewayId(0), name) {
                    return Handled::Elsewhere(shard);
                }
            }
            (".", _) => cx.streams.close(conn),
            (">", name) => cx.posts.push(post(name)),
            _ => {}
        }
        let _flow = cx.streams.write(conn, |out| out.extend_from_slice(&bytes[..=end]));
        Handled::Took(end + 1)
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

fn post(client: &str) -> Post {
    let topic = TopicName::try_from("t").unwrap();
    let message = Publication { topic, payload: b"", qos: bridge_core::Qos::AtMostOnce, retain: false, expiry_s: None };
    Post {
        to: ShardId(1),
        gateway: GatewayId(0),
        client: client.into(),
        message: Arc::new(Stored::copy(&message, START)),
        qos: bridge_core::Qos::AtMostOnce,
    }
}

struct Side {
    shard: Shard,
    heard: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Side {
    fn open(&mut self) -> ConnRef {
        self.shard.opened(START, peer(1), Proven::Psk("me")).unwrap()
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    fn pending(&mut self, conn: ConnRef) -> String {
        String::from_utf8(self.shard.streams().pending(conn).to_vec()).unwrap()
    }
}

fn sides(gate: &Arc<Gate>) -> [Side; 2] {
    let directory = Arc::new(Directory::default());
    [0, 1].map(|number| {
        let machine = Lines::default();
        let heard = Arc::clone(&machine.heard);
        let gates = Gates::new(vec![Arc::clone(gate)]);
        let listener = Listener { gateway: GatewayId(0), marks: Marks { high: 8, low: 2 } };
        let shard = shard(number, &directory, gates, listener, Box::new(machine));
        Side { shard, heard }
    })
}

#[test]
fn what_is_not_taken_is_offered_again_with_what_follows() {
    let [mut side, _] = sides(&Arc::new(Gate::new(0, 0)));
    let conn = side.open();
    assert_eq!(side.heard(), ["opened Psk(\"me\")"]);
    assert_eq!(side.shard.stream(START, conn, b"hel"), 0);
    assert_eq!(side.shard.stream(START, conn, b"hello\nwo"), 6);
    assert_eq!(side.pending(conn), "hello\n");
    assert_eq!(side.shard.streams().take_touched(), Some(conn));
}

#[test]
fn a_connection_has_a_place_at_the_gate_until_it_is_gone() {
    let gate = Arc::new(Gate::new(1, 0));
    let [mut side, _] = sides(&gate);
    let conn = side.open();
    assert_eq!(side.shard.opened(START, peer(2), Proven::default()), Err(Shut::Full));
    side.shard.stream_closed(START, conn, CloseReason::Peer);
    assert_eq!((gate.sessions(), side.heard().pop().as_deref()), (0, Some("closed Peer")));
    let conn = side.open();
    assert_eq!(side.shard.stream(START, conn, b".\n"), 2);
    assert!(side.shard.streams().is_closing(conn) && gate.sessions() == 1);
    side.shard.stream_closed(START, conn, CloseReason::Broken);
    assert_eq!((gate.sessions(), side.heard().len()), (0, 1), "opened; of its end its machine knows");
    side.shard.stream_closed(START, conn, CloseReason::Broken);
    side.shard.stream_done(conn);
    assert_eq!((gate.sessions(), side.heard().len()), (0, 0), "once");
    assert_eq!(side.shard.stream(START, conn, b"x"), 1, "what comes late is nobody's");
}

#[test]
fn who_fell_behind_is_told_when_there_is_room() {
    let [mut side, _] = sides(&Arc::new(Gate::new(0, 0)));
    let conn = side.open();
    assert_eq!(side.shard.stream(START, conn, b"12345678\n"), 9);
    assert_eq!(side.shard.streams().write(conn, |_| ()), Flow::Full);
    side.shard.stream_written(START, conn, 6);
    assert_eq!(side.heard().len(), 1, "opened");
    side.shard.stream_written(START, conn, 1);
    assert_eq!(side.heard(), ["writable"]);
}

#[test]
fn a_connection_goes_to_the_shard_of_its_client_with_its_place_and_all_that_was_not_taken() {
    let gate = Arc::new(Gate::new(2, 0));
    let [mut here, mut there] = sides(&gate);
    let first = there.open();
    assert_eq!(there.shard.stream(START, first, b"+lamp\n"), 6);
    let conn = here.open();
    assert_eq!(here.shard.stream(START, conn, b"+lamp\nmore"), 0);
    assert_eq!(here.shard.take_handover(), Some(Handover { conn, to: ShardId(1) }));
    assert_eq!((here.shard.take_handover(), here.shard.streams().len()), (None, 0));
    let moved = there.shard.adopt(START, peer(1), Proven::Psk("me")).unwrap();
    assert_eq!(there.shard.stream(START, moved, b"+lamp\nmore"), 6);
    assert_eq!((there.pending(moved).as_str(), gate.sessions()), ("+lamp\n", 2));
    here.shard.stream_closed(START, conn, CloseReason::Peer);
    assert_eq!((here.heard().len(), gate.sessions()), (1, 2), "here it is known no more");
    here.shard.stranded(peer(1));
    assert_eq!(gate.sessions(), 1, "what cannot be brought there has no place");
}

#[test]
fn a_post_goes_to_the_machine_of_its_gateway_on_the_other_shard() {
    let [mut here, mut there] = sides(&Arc::new(Gate::new(0, 0)));
    let conn = here.open();
    assert_eq!(here.shard.stream(START, conn, b">lamp\n"), 6);
    let parcels: Vec<Parcel> = here.shard.parcels().drain(..).collect();
    assert_eq!(parcels.iter().map(Parcel::to).collect::<Vec<_>>(), [ShardId(1)]);
    there.shard.receive(START, &parcels[0]);
    assert_eq!(there.heard(), ["posted lamp t"]);
}
