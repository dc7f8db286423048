//! Connections on loopback, from accept to close.

mod world;

use super::counts::StreamCount;
use super::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use world::{FLOOD, Kind, PROXY_TIMEOUT, RESUME_MS, SEND_TIMEOUT, Side, World};

#[tokio::test]
async fn what_comes_in_pieces_is_taken_when_it_is_whole_and_answered() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    assert_eq!(world.ask(&mut device, "one\ntw", 5).await, "0one\n");
    for octet in ["o", "\n", "t", "h", "r", "e", "e"] {
        world.run(device.write_all(octet.as_bytes())).await.unwrap();
    }
    assert_eq!(world.ask(&mut device, "\n", 11).await, "0two\n0three");
    assert_eq!(world.noted(), ["opened 127.0.0.1"]);
}

#[tokio::test]
async fn the_last_words_before_a_device_closes_are_heard_and_answered() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    world
        .run(async {
            device.write_all(b"last\nwords").await.unwrap();
            device.shutdown().await.unwrap();
        })
        .await;
    assert_eq!(world.rest(&mut device).await, b"0last\n");
    assert_eq!(world.noted(), ["opened 127.0.0.1", "closed Peer"]);
    assert_eq!((world.open(), world.gate.sessions(), world.count(StreamCount::EndedByPeer)), (0, 0, 1));
}

#[tokio::test]
async fn a_close_lets_what_is_pending_leave_and_waits_for_the_device_to_close_too() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    // What it says after that would cost it our last words, were the connection closed at once.
    world.run(device.write_all(b"bye\nand more")).await.unwrap();
    assert_eq!(world.rest(&mut device).await, b"bye");
    assert_eq!((world.gate.sessions(), world.sides[0].connections.lingering), (0, 1));
    assert!(world.sides[0].connections.is_drained(), "nothing is left to be said");
    drop(device);
    world.until(|world| world.sides[0].connections.table.is_empty()).await;
    assert_eq!(world.noted(), ["opened 127.0.0.1"], "a machine does not hear of its own close");
    assert_eq!((world.sides[0].connections.lingering, world.count(StreamCount::EndedByGateway)), (0, 1));
}

#[tokio::test]
async fn a_device_that_does_not_close_its_side_is_not_waited_for_long() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    assert_eq!(world.ask(&mut device, "bye\n", 3).await, "bye");
    world.until(|world| world.sides[0].connections.lingering == 1).await;
    world.pass(LINGER);
    world.until(|world| world.sides[0].connections.table.is_empty()).await;
}

#[tokio::test]
async fn a_close_waits_five_seconds_for_a_device_that_takes_nothing() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"dump\nbye\n")).await.unwrap();
    world.until(|world| world.sides[0].connections.wheel.len() == 1).await;
    world.pass(CLOSE_WITHIN - Duration::from_millis(1));
    world.run(async {}).await;
    assert_eq!(world.open(), 1);
    world.pass(Duration::from_millis(1));
    world.until(|world| world.open() == 0).await;
    assert_eq!((world.count(StreamCount::EndedUnflushed), world.gate.sessions()), (1, 0));
    assert_eq!(world.noted(), ["opened 127.0.0.1"]);
}

#[tokio::test]
async fn a_paused_connection_is_not_read_so_that_its_device_cannot_write() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"pause\nafter\n")).await.unwrap();
    world.until(|world| world.count(StreamCount::BytesRead) == 12).await;
    // Until the buffers of both ends are full.
    let mut taken = 0;
    while let Ok(octets) = device.try_write(&[b'x'; 1 << 16]) {
        taken += octets;
        assert!(taken < 64 << 20, "somebody reads it");
        world.run(tokio::task::yield_now()).await;
    }
    assert_eq!(world.count(StreamCount::BytesRead), 12, "what came with the pause, and nothing since");
    world.now.mono_ms = RESUME_MS;
    assert_eq!(world.ask(&mut device, "", 7).await, "0after\n");
    world.until(|world| world.count(StreamCount::BytesRead) > 1 << 16).await;
}

#[tokio::test]
async fn between_the_marks_a_flood_flows_as_fast_as_it_is_taken() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"flood\n")).await.unwrap();
    world.until(|world| world.sides[0].connections.wheel.len() == 1).await;
    let conn = ConnRef(Key { slot: 0, generation: 0 });
    let pending = world.sides[0].shard.streams().pending(conn).len();
    assert!(pending <= 80_000, "{pending} octets wait: the machine was told to hold back");
    assert_eq!(world.ask(&mut device, "", FLOOD).await.len(), FLOOD);
    assert_eq!(world.sides[0].connections.wheel.len(), 0, "nothing waits, so nothing is late");
    assert_eq!(world.ask(&mut device, "x\n", 3).await, "0x\n");
}

#[tokio::test]
async fn a_device_that_takes_nothing_for_too_long_is_closed() {
    let mut world = World::new(Kind::Plain, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"dump\n")).await.unwrap();
    world.until(|world| world.sides[0].connections.wheel.len() == 1).await;
    world.pass(SEND_TIMEOUT / 2);
    // It takes something: the time begins anew.
    world.ask(&mut device, "", FLOOD / 2).await;
    world.pass(SEND_TIMEOUT / 2 + Duration::from_secs(1));
    world.run(async {}).await;
    assert_eq!(world.open(), 1);
    world.pass(SEND_TIMEOUT);
    world.until(|world| world.open() == 0).await;
    assert_eq!(world.noted(), ["opened 127.0.0.1", "closed Stalled"]);
    assert_eq!(world.count(StreamCount::EndedStalled), 1);
}

#[tokio::test]
async fn whom_the_gate_does_not_let_in_is_closed() {
    let mut world = World::new(Kind::Plain, 1);
    world.gate.set_limits(1, 0);
    let mut first = world.connect().await;
    world.until_open(1).await;
    let mut second = world.connect().await;
    assert_eq!(world.rest(&mut second).await, b"");
    assert_eq!(world.ask(&mut first, "x\n", 3).await, "0x\n");
    assert_eq!((world.count(StreamCount::Accepted), world.open()), (2, 1));
    assert_eq!((world.sides[0].connections.greeting(), world.noted().len()), (0, 1));
}

#[tokio::test]
async fn a_drain_lets_nobody_in_and_ends_when_all_have_gone() {
    let mut world = World::new(Kind::Tls, 1);
    let mut device = world.connect_tls().await;
    let mut late = world.connect().await;
    world.until(|world| world.sides[0].connections.greeting() == 1).await;
    let Side { connections, shard, .. } = &mut world.sides[0];
    connections.drain(shard);
    assert_eq!(world.rest(&mut late).await, b"", "it had not come in yet");
    assert!(!world.sides[0].connections.is_drained());
    let addr = world.addr;
    assert!(world.run(TcpStream::connect(addr)).await.is_err());
    assert_eq!(world.ask(&mut device, "bye\n", 3).await, "bye");
    world.until(|world| world.sides[0].connections.is_drained()).await;
}

#[tokio::test]
async fn an_idle_connection_is_not_looked_at() {
    let mut world = World::new(Kind::Plain, 1);
    let mut devices = Vec::new();
    for _ in 0..200 {
        devices.push(world.connect().await);
    }
    world.until_open(200).await;
    let reads = world.count(StreamCount::Reads);
    for _ in 0..50 {
        assert_eq!(world.ask(&mut devices[7], "x\n", 3).await, "0x\n");
    }
    let reads = world.count(StreamCount::Reads) - reads;
    assert!(reads <= 150, "{reads} reads for 50 lines: only one of 200 connections spoke");
}

#[tokio::test]
async fn tls_is_shaken_and_says_who_is_there() {
    let mut world = World::new(Kind::Tls, 1);
    let mut device = world.connect_tls().await;
    assert_eq!(world.ask(&mut device, "who\n", 10).await, "key lamp-7");
    // More than a record, both ways.
    let line = format!("{}\n", "y".repeat(100_000));
    assert_eq!(world.ask(&mut device, &line, 100_002).await, format!("0{line}"));
    assert_eq!(world.ask(&mut device, "flood\n", FLOOD).await.len(), FLOOD);
    world.run(device.write_all(b"bye\n")).await.unwrap();
    assert_eq!(world.rest(&mut device).await, b"bye", "and an orderly end: without close_notify this would be a fault");
    assert_eq!(world.count(StreamCount::EndedByGateway), 1);
}

#[tokio::test]
async fn a_plain_client_of_a_tls_listener_is_closed_and_so_is_the_reverse() {
    let mut world = World::new(Kind::Tls, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"\x10\0\x07\x3C\0\x04abcd")).await.unwrap();
    assert_eq!(world.rest(&mut device).await, b"");
    assert_eq!((world.count(StreamCount::RefusedPlainOnTls), world.noted().len()), (1, 0));

    let mut world = World::new(Kind::Plain, 1);
    let device = world.connect().await;
    assert!(world.shake(device).await.is_err());
    assert_eq!(world.count(StreamCount::RefusedTlsOnPlain), 1);
    assert_eq!(world.count(StreamCount::EndedBroken), 0, "it is counted once");
    assert_eq!(world.noted(), ["opened 127.0.0.1", "closed Broken"]);
    assert_eq!(world.gate.sessions(), 0);
}

#[tokio::test]
async fn a_proxy_header_that_nobody_asked_for_is_closed_and_told_from_a_broken_protocol() {
    for (kind, noted) in [(Kind::Plain, 2), (Kind::Tls, 0)] {
        for header in [&b"PROXY TCP4 192.0.2.8 192.0.2.1 4660 8090\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let mut world = World::new(kind, 1);
            let mut device = world.connect().await;
            world.run(device.write_all(header)).await.unwrap();
            assert_eq!(world.rest(&mut device).await, b"");
            assert_eq!((world.count(StreamCount::RefusedProxyUnasked), world.noted().len()), (1, noted));
            assert_eq!((world.count(StreamCount::RefusedPlainOnTls), world.gate.sessions()), (0, 0));
        }
    }
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_in_time_is_closed() {
    let mut world = World::new(Kind::Tls, 1);
    let mut devices = [world.connect().await, world.connect().await];
    world.run(devices[1].write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3])).await.unwrap();
    let shaking = |connections: &Connections| {
        connections.table.iter().filter(|(_, connection)| connection.phase == Phase::Handshake).count()
    };
    world.until(|world| shaking(&world.sides[0].connections) == 1).await;
    world.pass(Duration::from_millis(14_999));
    world.run(async {}).await;
    assert_eq!(world.sides[0].connections.greeting(), 2);
    world.pass(Duration::from_millis(1));
    for device in &mut devices {
        world.rest(device).await;
    }
    assert_eq!(world.count(StreamCount::RefusedHandshakeTimeout), 2);
    assert_eq!((world.sides[0].connections.greeting(), world.noted().len()), (0, 0));
}

#[tokio::test]
async fn there_is_no_handshake_beyond_the_limits_and_one_that_fails_takes_no_place() {
    let mut world = World::new(Kind::Tls, 1);
    world.gate.set_limits(2, 0);
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3];
    let mut silent = world.connect().await;
    let _inside = world.connect_tls().await;
    assert_eq!(world.gate.sessions(), 1, "who has said nothing has no place");
    let mut begun = world.connect().await;
    world.run(begun.write_all(&hello)).await.unwrap();
    world.until(|world| world.gate.sessions() == 2).await;
    let refused = world.connect().await;
    assert!(world.shake(refused).await.is_err());
    assert_eq!((world.gate.sessions(), world.sides[0].connections.greeting()), (2, 2));
    drop(begun);
    world.until(|world| world.gate.sessions() == 1).await;
    world.run(silent.write_all(&hello)).await.unwrap();
    world.until(|world| world.gate.sessions() == 2).await;
    let Side { connections, shard, .. } = &mut world.sides[0];
    connections.drain(shard);
    assert_eq!((world.gate.sessions(), world.open()), (1, 1));
}

#[tokio::test]
async fn behind_a_proxy_the_shard_sees_whom_the_proxy_names() {
    let mut world = World::new(Kind::Proxied, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"PROXY TCP4 203.0.113.9 ")).await.unwrap();
    assert_eq!(world.ask(&mut device, "192.0.2.1 4000 8090\r\nx\n", 3).await, "0x\n");
    assert_eq!(world.noted(), ["opened 203.0.113.9"]);

    let mut past = world.connect().await;
    world.run(past.write_all(b"x\n")).await.unwrap();
    assert_eq!(world.rest(&mut past).await, b"");
    assert_eq!(world.count(StreamCount::RefusedProxy), 1);

    let mut silent = world.connect().await;
    world.until(|world| world.sides[0].connections.greeting() == 1).await;
    world.pass(PROXY_TIMEOUT);
    assert_eq!(world.rest(&mut silent).await, b"");
    assert_eq!(world.count(StreamCount::RefusedProxyTimeout), 1);
}

#[tokio::test]
async fn a_proxys_header_comes_before_tls() {
    let mut world = World::new(Kind::ProxiedTls, 1);
    let mut device = world.connect().await;
    world.run(device.write_all(b"PROXY TCP4 203.0.113.9 192.0.2.1 4000 8091\r\n")).await.unwrap();
    let mut device = world.shake(device).await.unwrap();
    assert_eq!(world.ask(&mut device, "who\n", 10).await, "key lamp-7");
    assert_eq!(world.noted(), ["opened 203.0.113.9"]);

    let mut silent = world.connect().await;
    world.run(silent.write_all(b"PROXY UNKNOWN\r\n")).await.unwrap();
    let said = |world: &World| world.sides[0].connections.table.iter().any(|(_, each)| each.phase == Phase::Hello);
    world.until(said).await;
    world.pass(PROXY_TIMEOUT);
    world.run(async {}).await;
    assert_eq!(world.sides[0].connections.greeting(), 1, "the handshake has a time of its own");
    world.pass(Duration::from_secs(12));
    assert_eq!(world.rest(&mut silent).await, b"");
    assert_eq!(world.count(StreamCount::RefusedHandshakeTimeout), 1);
}

#[tokio::test]
async fn beyond_so_many_that_shake_hands_whoever_comes_waits() {
    let mut world = World::new(Kind::Tls, 1);
    world.sides[0].connections.ports[0].most_greeting = 2;
    let silent = [world.connect().await, world.connect().await];
    world.until(|world| world.sides[0].connections.greeting() == 2).await;
    let mut patient = world.connect().await;
    world.run(async {}).await;
    assert_eq!(world.count(StreamCount::Accepted), 2);
    // They keep nobody from another listener.
    let other = world.plain_addr;
    let mut device = world.run(TcpStream::connect(other)).await.unwrap();
    assert_eq!(world.ask(&mut device, "x\n", 3).await, "0x\n");
    drop(silent);
    world.run(patient.write_all(b"no TLS")).await.unwrap();
    assert_eq!(world.rest(&mut patient).await, b"");
    assert_eq!((world.count(StreamCount::Accepted), world.count(StreamCount::RefusedGone)), (4, 2));
}

#[tokio::test]
async fn a_turn_takes_so_much_of_floods_and_no_more() {
    let mut world = World::new(Kind::Plain, 1);
    let mut devices = Vec::new();
    for _ in 0..40 {
        devices.push(world.connect().await);
    }
    world.until_open(40).await;
    let lines = b"a message of one device\n".repeat(2048);
    let sent: usize = devices.iter().map(|device| device.try_write(&lines).unwrap()).sum();
    let mut most = 0;
    while world.count(StreamCount::BytesRead) < sent as u64 {
        let before = world.count(StreamCount::BytesRead);
        world.hear_once().await;
        most = most.max(world.count(StreamCount::BytesRead) - before);
        tokio::task::yield_now().await;
    }
    let bound = ((EFFORT_A_TURN + 256) * SMALL_READ) as u64;
    assert!(most < bound && sent as u64 > 2 * bound, "{most} of {sent}");
}

#[tokio::test]
async fn a_connection_goes_to_the_shard_where_its_client_lives() {
    let mut world = World::new(Kind::Plain, 2);
    let (mut devices, mut answers) = (Vec::new(), Vec::new());
    // The kernel spreads connections over the sockets; of so many, some come to either.
    for _ in 0..24 {
        let mut device = world.connect().await;
        // What is behind it goes along.
        answers.push(world.ask(&mut device, "+lamp\nx\n", 10).await);
        devices.push(device);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let mut at = world.sides.iter().map(|side| side.connections.table.len()).collect::<Vec<_>>();
    at.sort_unstable();
    assert_eq!(at, [0, 24]);
    assert!(world.noted().len() > 24, "some were opened at the other driver first: {}", world.noted().len());
    assert_eq!(world.gate.sessions(), 24, "each has one place");
    drop(devices);
    world.until(|world| world.open() == 0).await;
    assert_eq!(world.gate.sessions(), 0);
}

#[tokio::test]
async fn a_tls_connection_goes_with_its_session() {
    let mut world = World::new(Kind::Tls, 2);
    let mut answers = Vec::new();
    for _ in 0..24 {
        let mut device = world.connect_tls().await;
        answers.push(world.ask(&mut device, "+lamp\n", 7).await);
        assert_eq!(world.ask(&mut device, "who\n", 10).await, "key lamp-7", "and with what was proved");
        let line = format!("{}\n", "y".repeat(100_000));
        assert_eq!(world.ask(&mut device, &line, 100_002).await.len(), 100_002);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(world.noted().iter().filter(|note| note.starts_with("opened")).count() > 24);
}

#[tokio::test]
async fn a_connection_that_finds_no_room_on_its_way_is_closed_and_its_place_is_free() {
    let mut world = World::new(Kind::Plain, 2);
    let mut owner = world.connect().await;
    let answer = world.ask(&mut owner, "+lamp\n", 7).await;
    let gone = usize::from(answer == "0+lamp\n");
    // The owner's driver is no more: from now on there is no way to it.
    let Side { connections, .. } = world.sides.remove(1 - gone);
    drop(connections);
    let addr = world.addr;
    for _ in 0..24 {
        let Ok(mut device) = world.run(TcpStream::connect(addr)).await else { continue };
        world.run(device.write_all(b"+lamp\n")).await.unwrap();
        assert_eq!(world.rest(&mut device).await, b"");
    }
    assert_eq!((world.open(), world.gate.sessions()), (0, 1), "only the owner's own place is left");
}
