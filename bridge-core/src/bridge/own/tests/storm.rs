//! Many clients, and everything that can happen to them, by lot: what must hold whatever happens.

use super::world::{CLEAN, KEPT, World, message};
use crate::auth::AuthRules;
use crate::bridge::{LinkId, Notice};
use crate::downlink::Outcome;
use crate::rng::Rng;
use crate::uplink::{Admission, ClientRef, Ending, OwnLink, Receipt, Taken, Token, Uplink};
use codec_mqtt::{Qos, ReasonCode};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use support::broker::{Crash, Message, Options, RefuseV5};

const IDS: u64 = 8;
const STEPS: u64 = 1500;

/// A client that is in, as its machine knows it.
struct Device {
    client: ClientRef,
    id: u64,
    dozes: bool,
}

struct Storm {
    world: World,
    rng: Rng,
    /// By handle.
    devices: BTreeMap<u64, Device>,
    waiting: BTreeMap<u64, u64>,
    /// By applicant: the id, and the link that was given.
    admitted: Vec<(u64, OwnLink)>,
    owed: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    receipts: Vec<(u64, Receipt)>,
    next: u64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let options = Options {
            silent_take_over: rng.chance(300),
            refuse_v5: rng.chance(300).then_some(RefuseV5::ReasonCode),
            send_window: 4,
            ..Options::new()
        };
        let rate = [0, 20, 200][usize::try_from(rng.below(3)).unwrap()];
        let world = World::with(options, rate, AuthRules::default());
        Self {
            world,
            rng,
            devices: BTreeMap::new(),
            waiting: BTreeMap::new(),
            admitted: Vec::new(),
            owed: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            ended: BTreeSet::new(),
            receipts: Vec::new(),
            next: 1,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn any_device(&mut self) -> Option<u64> {
        let at = usize::try_from(self.rng.below(self.devices.len() as u64)).unwrap();
        self.devices.keys().nth(at).copied()
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..15 => self.ask(),
            15..30 => self.take(),
            30..55 => self.publish(),
            55..62 => self.hear(),
            62..70 => self.deliver(),
            70..73 => self.leave(),
            73..77 => self.sleep_or_wake(),
            77..79 => self.will(),
            79..83 => self.cut(),
            83..85 => self.kick(),
            85..87 => self.broker_falls(),
            87 => self.refuse(),
            _ => {
                let ms = self.rng.below(3000);
                self.world.wait(ms);
            }
        }
        self.read_notices();
    }

    fn ask(&mut self) {
        let (id, applicant) = (self.rng.below(IDS), self.fresh());
        let wish = if self.rng.chance(500) { CLEAN } else { KEPT };
        assert_eq!(self.world.ask(applicant, &format!("d{id}"), wish), Admission::Parked);
        self.waiting.insert(applicant, id);
        self.world.settle();
    }

    /// What a machine does with who was let in: the older session of the same id goes on, or gives way, or neither.
    fn take(&mut self) {
        let Some((id, link)) = self.admitted.pop() else { return };
        let older = self.devices.iter().find(|(_, device)| device.id == id).map(|(handle, _)| *handle);
        if self.rng.chance(150) {
            self.world.bridge.dismiss(link);
            return self.world.settle();
        }
        if let Some(handle) = older
            && self.rng.chance(600)
        {
            let client = self.devices[&handle].client;
            let taken = self.world.up(client, Uplink::Relink(link));
            assert!(matches!(taken, Taken::Done | Taken::Denied(_)), "{taken:?}");
            self.devices.get_mut(&handle).unwrap().dozes = false;
            return;
        }
        if let Some(device) = older.and_then(|handle| self.devices.remove(&handle)) {
            self.world.say(device.client, Uplink::Disconnect);
        }
        let handle = self.fresh();
        if let Ok(client) = self.world.connect(handle, &format!("d{id}"), link) {
            self.devices.insert(handle, Device { client, id, dozes: false });
            let _either = self.world.try_subscribe(client, 1, "a");
        }
    }

    fn publish(&mut self) {
        let Some(handle) = self.any_device() else { return };
        let token = self.fresh();
        let text = token.to_string();
        let client = self.devices[&handle].client;
        let what = message("up", &text, Qos::AtLeastOnce);
        // Before anything moves: the answer may come at once.
        self.owed.insert(token);
        let taken = self.world.up(client, Uplink::Publish { token: Some(Token(token)), what });
        if taken != Taken::Owed {
            assert!(self.owed.remove(&token), "{taken:?}");
        }
    }

    fn hear(&mut self) {
        let text = self.fresh().to_string();
        let qos = if self.rng.chance(500) { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        self.world.broker.publish(Message::new("site/a", text, qos));
        self.world.settle();
    }

    fn deliver(&mut self) {
        while !self.receipts.is_empty() {
            let at = usize::try_from(self.rng.below(self.receipts.len() as u64)).unwrap();
            let (handle, receipt) = self.receipts.swap_remove(at);
            match self.devices.get(&handle) {
                Some(device) => {
                    let client = device.client;
                    self.world.say(client, Uplink::Delivered(receipt));
                }
                None => self.world.bridge.undeliverable(self.world.now, Some(receipt)),
            }
        }
        self.world.settle();
    }

    fn leave(&mut self) {
        let Some(handle) = self.any_device() else { return };
        let Some(device) = self.devices.remove(&handle) else { return };
        if self.rng.chance(500) {
            self.world.say(device.client, Uplink::Offline(Ending::Normal));
        }
        self.world.say(device.client, Uplink::Disconnect);
    }

    fn sleep_or_wake(&mut self) {
        let Some(handle) = self.any_device() else { return };
        let device = self.devices.get_mut(&handle).unwrap();
        let (client, dozes) = (device.client, device.dozes);
        device.dozes = !dozes;
        let taken = self.world.up(client, if dozes { Uplink::Wake } else { Uplink::Doze });
        assert!(matches!(taken, Taken::Done | Taken::Owed), "{taken:?}");
    }

    fn will(&mut self) {
        let Some(handle) = self.any_device() else { return };
        let client = self.devices[&handle].client;
        let will = message("will", "gone", Qos::AtLeastOnce);
        let taken = self.world.up(client, Uplink::SetWill(self.rng.chance(700).then_some(will)));
        assert!(matches!(taken, Taken::Done | Taken::Denied(_)), "{taken:?}");
    }

    fn cut(&mut self) {
        let own: Vec<LinkId> = self.world.conns.keys().copied().collect();
        let at = usize::try_from(self.rng.below(own.len() as u64)).unwrap();
        if let Some(link) = own.get(at) {
            self.world.cut(*link);
        }
    }

    fn kick(&mut self) {
        let codes = [
            ReasonCode::SESSION_TAKEN_OVER,
            ReasonCode::ADMINISTRATIVE_ACTION,
            ReasonCode::SERVER_SHUTTING_DOWN,
            ReasonCode::KEEP_ALIVE_TIMEOUT,
        ];
        let code = codes[usize::try_from(self.rng.below(4)).unwrap()];
        let id = format!("d{}", self.rng.below(IDS));
        self.world.broker.kick(&id, code);
        self.world.settle();
    }

    fn broker_falls(&mut self) {
        if self.rng.chance(300) {
            let keep_sessions = self.rng.chance(500);
            self.world.broker.crash(Crash { keep_sessions, keep_retained: true });
        }
        self.world.go_down();
        let ms = self.rng.below(20_000);
        self.world.wait(ms);
        self.world.broker.set_up();
    }

    fn refuse(&mut self) {
        let codes = [ReasonCode::NOT_AUTHORIZED, ReasonCode::SERVER_BUSY];
        let code = codes[usize::try_from(self.rng.below(2)).unwrap()];
        let id = format!("d{}", self.rng.below(IDS));
        let refused = &mut self.world.broker.options().refuse_clients;
        if refused.remove(&id).is_none() {
            refused.insert(id, code);
        }
    }

    fn read_notices(&mut self) {
        for notice in std::mem::take(&mut self.world.notices) {
            match notice {
                Notice::Decided { applicant, verdict, link, .. } => {
                    let id = self.waiting.remove(&applicant.0).expect("one verdict each");
                    assert_eq!(verdict.is_ok(), link.is_some());
                    self.admitted.extend(link.map(|link| (id, link)));
                }
                Notice::Settled { token, outcome, .. } => {
                    assert!(self.owed.remove(&token.0), "{token:?} settles once: {outcome:?}");
                    if outcome == Outcome::Acknowledged {
                        self.acknowledged.insert(token.0);
                    }
                }
                Notice::Ended { client, .. } => {
                    assert!(self.ended.insert(client.0), "it ends once");
                    if let Some(device) = self.devices.remove(&client.0) {
                        self.world.say(device.client, Uplink::Disconnect);
                    }
                }
                Notice::Message { client, receipt, .. } => self.receipts.extend(receipt.map(|r| (client.0, r))),
                Notice::Subscribed { .. } | Notice::Awake { .. } | Notice::Room | Notice::Broker { .. } => {}
            }
        }
        for handed in std::mem::take(&mut self.world.handed) {
            self.receipts.extend(handed.receipt.map(|receipt| (handed.client, receipt)));
        }
    }

    /// No more trouble: what must have come right then.
    fn calm_down(&mut self) {
        self.world.broker.options().refuse_clients.clear();
        for handle in self.devices.keys().copied().collect::<Vec<_>>() {
            let client = self.devices[&handle].client;
            let _either = self.world.up(client, Uplink::Wake);
            self.read_notices();
        }
        for _ in 0..40 {
            self.world.wait(5000);
            self.read_notices();
            self.deliver();
        }
        assert_eq!(self.waiting, BTreeMap::new(), "everybody has a verdict");
        assert_eq!(self.owed, BTreeSet::new(), "everything has settled");
        let accepted: BTreeSet<String> =
            self.world.broker.accepted().iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect();
        for token in &self.acknowledged {
            assert!(accepted.contains(&token.to_string()), "{token} was acknowledged and is lost");
        }
        let own: Vec<_> = self.world.bridge.lines.iter().filter(|line| line.own.is_some()).collect();
        assert_eq!(own.len(), self.devices.len(), "a link for each, and none else");
        assert!(own.iter().all(|line| line.link.is_online()));
        for device in self.devices.values() {
            assert_eq!(self.world.broker.undelivered(&format!("d{}", device.id)), 0, "the broker waits for nothing");
        }
        for (handle, device) in &self.devices {
            let taken = self.world.bridge.up(self.world.now, device.client, Uplink::Wake);
            assert_eq!(taken, Taken::Done, "{handle}");
        }
    }
}

#[test]
fn whatever_happens_everybody_gets_one_answer_and_nothing_acknowledged_is_lost() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("TIDEGATE_STORM_SEED").unwrap_or(1);
    let (mut acknowledged, mut ended) = (0, 0);
    for seed in first..first + number("TIDEGATE_STORM_SEEDS").unwrap_or(12) {
        let run = catch_unwind(|| {
            let mut storm = Storm::new(seed);
            for _ in 0..STEPS {
                storm.step();
            }
            storm.calm_down();
            (storm.acknowledged.len(), storm.ended.len())
        });
        let (settled, over) = run.unwrap_or_else(|_| panic!("to replay: TIDEGATE_STORM_SEED={seed}"));
        acknowledged += settled;
        ended += over;
    }
    assert!(acknowledged > 0 && ended > 0, "{acknowledged} {ended}");
}
