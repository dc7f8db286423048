//! A device and what a gateway would say, in virtual time.

use super::*;
use crate::dialling::{Credentials, Framing};
use codec_rawtcp::{FromDevice, FromGateway, ReturnCode, Turn};

const SECOND: u64 = 1000;

struct Bench {
    device: Device,
    speech: Speech,
    now: u64,
}

impl Bench {
    fn new(framing: Framing) -> Self {
        let profile = Profile { interval: 60 * SECOND, keepalive_s: 10, patience: 5 * SECOND };
        let device = Device::new("sim-1".into(), profile, 1, 0);
        Self { device, speech: Speech::new(framing, Credentials::default()).unwrap(), now: 0 }
    }

    fn with(&mut self, act: impl FnOnce(&mut Device, u64, &Speech, &mut Output)) -> Output {
        let mut out = Output::default();
        act(&mut self.device, self.now, &self.speech, &mut out);
        out
    }

    /// Lets the time come when something is due, and it act.
    fn turn(&mut self) -> Output {
        self.now = self.device.next_deadline(&self.speech).expect("something is due");
        self.with(Device::handle_timer)
    }

    fn opened(&mut self) -> Output {
        self.with(Device::handle_opened)
    }

    fn hears(&mut self, frame: &FromGateway<'_>) -> Output {
        let mut octets = Vec::new();
        frame.encode(&mut octets).unwrap();
        self.with(|device, now, speech, out| {
            assert_eq!(device.handle_octets(now, &octets, speech, out), octets.len());
        })
    }

    fn closed(&mut self) -> Output {
        self.with(|device, now, _, out| device.handle_closed(now, None, out))
    }

    /// Up to its first reading.
    fn connected(framing: Framing) -> Self {
        let mut bench = Self::new(framing);
        assert_eq!(bench.turn().wish, Some(Wish::Dial));
        bench.opened();
        if framing == Framing::Emqx {
            bench.hears(&FromGateway::Connack { code: ReturnCode::Accepted, message: "" });
        }
        bench
    }
}

fn names(out: &Output) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Connected => "connected",
        Event::Sent { .. } => "sent",
        Event::Heard { .. } => "heard",
        Event::NotLetIn { .. } => "not let in",
        Event::Unanswered { what } => what,
        Event::Disconnected => "disconnected",
        Event::NoTls { .. } => "no TLS",
        Event::Left => "left",
        other => panic!("{other:?}"),
    };
    out.events.iter().map(name).collect()
}

#[test]
fn it_introduces_itself_and_sends_a_reading_once_it_is_let_in() {
    let mut bench = Bench::new(Framing::Emqx);
    assert_eq!(bench.turn().wish, Some(Wish::Dial));
    let greeting = bench.opened();
    match FromDevice::decode(&greeting.octets, Turn::First, 100).unwrap().unwrap().0 {
        FromDevice::Connect(connect) => assert_eq!((connect.client_id, connect.keepalive_s), ("sim-1", 10)),
        other => panic!("{other:?}"),
    }
    assert!(greeting.events.is_empty(), "not before CONNACK");
    let first = bench.hears(&FromGateway::Connack { code: ReturnCode::Accepted, message: "" });
    assert_eq!(names(&first), ["connected", "sent"]);
    let Ok(Some((FromDevice::Data(payload), _))) = FromDevice::decode(&first.octets, Turn::Connected, 100) else {
        panic!("{first:?}");
    };
    assert!(payload.starts_with(b"{\"temperature\":"));
}

#[test]
fn with_lines_the_client_id_is_the_first_and_nobody_answers() {
    let mut bench = Bench::new(Framing::Line);
    bench.turn();
    let out = bench.opened();
    assert!(out.octets.starts_with(b"sim-1\n{\"temperature\":") && out.octets.ends_with(b"}\n"));
    assert_eq!(names(&out), ["connected", "sent"]);
    bench.turn();
    assert_eq!(bench.now, 60 * SECOND, "there is no PING");
}

#[test]
fn it_pings_within_its_keepalive_and_gives_up_without_pong() {
    let mut bench = Bench::connected(Framing::Emqx);
    assert_eq!((bench.turn().octets.as_slice(), bench.now), (PING, 8 * SECOND));
    bench.hears(&FromGateway::Pong);
    assert_eq!((bench.turn().octets.as_slice(), bench.now), (PING, 16 * SECOND));
    let out = bench.turn();
    assert_eq!((names(&out), out.wish, bench.now), (vec!["PING"], Some(Wish::Close), 21 * SECOND));
}

#[test]
fn what_comes_is_told_in_pieces_or_many_at_once() {
    let mut bench = Bench::connected(Framing::Emqx);
    let mut octets = Vec::new();
    for payload in [&b"one"[..], b"two"] {
        FromGateway::Data(payload).encode(&mut octets).unwrap();
    }
    let cut = octets.len() - 1;
    let out =
        bench.with(|device, now, speech, out| assert_eq!(device.handle_octets(now, &octets[..cut], speech, out), 6));
    assert_eq!(out.events, [Event::Heard { payload: b"one".to_vec() }]);
}

#[test]
fn a_device_that_is_refused_or_cut_off_comes_again_after_a_pause_that_grows() {
    let mut bench = Bench::new(Framing::Emqx);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let since = bench.now;
        assert_eq!(bench.turn().wish, Some(Wish::Dial));
        pauses.push((bench.now - since) / SECOND);
        bench.opened();
        let out = bench.hears(&FromGateway::Connack { code: ReturnCode::AuthFailed, message: "go away" });
        assert_eq!((names(&out), out.wish), (vec!["not let in"], Some(Wish::Close)));
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60]);

    let mut bench = Bench::connected(Framing::Emqx);
    assert_eq!(names(&bench.closed()), ["disconnected"]);
    bench.turn();
    assert_eq!(bench.now, SECOND, "a reading has gone out");
    let out = bench.turn();
    assert_eq!((names(&out), bench.now), (vec!["CONNECT"], 6 * SECOND), "nobody answered");
}

#[test]
fn it_leaves_with_disconnect_and_waits_for_the_close() {
    let mut bench = Bench::connected(Framing::Emqx);
    let out = bench.with(Device::leave);
    assert_eq!((out.octets.as_slice(), out.events.len()), (DISCONNECT, 0));
    assert_eq!(names(&bench.closed()), ["left"]);
    assert!(bench.device.is_gone() && bench.device.next_deadline(&bench.speech).is_none());

    let mut bench = Bench::connected(Framing::Emqx);
    bench.with(Device::leave);
    let out = bench.turn();
    assert_eq!((names(&out), out.wish), (vec!["left"], Some(Wish::Close)), "the gateway does not close");
    let mut bench = Bench::connected(Framing::Line);
    assert_eq!(bench.with(Device::leave).wish, Some(Wish::Close));
}

#[test]
fn a_handshake_that_fails_is_not_blamed_on_the_gateway() {
    let mut bench = Bench::new(Framing::Emqx);
    bench.turn();
    let out = bench.with(|device, now, _, out| device.handle_closed(now, Some("its certificate"), out));
    assert_eq!(names(&out), ["no TLS"]);
    assert_eq!(bench.turn().wish, Some(Wish::Dial), "it tries again");
}
