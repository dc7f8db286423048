//! The pool over a store that does as it is told.

use std::sync::mpsc::{Receiver, Sender, channel};

use bridge_core::auth::Credentials;
use bridge_core::peer::GatewayId;
use bridge_core::slab::Key;

use super::*;
use crate::counts::StoreKind;

/// Says what a user's name says; `slow` waits until it may go on.
#[derive(Debug)]
struct Told {
    begun: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Store for Told {
    fn kind(&self) -> StoreKind {
        StoreKind::File
    }

    fn at_once(&self, credentials: &Credentials) -> Option<Opinion> {
        match &*credentials.username {
            "known" => Some(Opinion::Allow { superuser: false }),
            "unknown" => Some(Opinion::Ignore),
            _ => None,
        }
    }

    fn decide(&self, credentials: &Credentials) -> Opinion {
        match &*credentials.username {
            "super" => Opinion::Allow { superuser: true },
            "slow" => {
                self.begun.send(()).unwrap();
                self.go_on.lock().unwrap().recv().unwrap();
                Opinion::Allow { superuser: false }
            }
            "panic" => panic!("as it happens"),
            _ => Opinion::Deny,
        }
    }
}

/// A pool, the reins of its store, and what it answers.
struct Bench {
    pool: Pool,
    begun: Receiver<()>,
    go_on: Sender<()>,
    reply: Reply,
    answers: Receiver<Answer>,
    asked: u32,
}

impl Bench {
    fn new(settings: PoolSettings) -> Self {
        let (begins, begun) = channel();
        let (go_on, waits) = channel();
        let (answered, answers) = channel();
        let store: Arc<dyn Store> = Arc::new(Told { begun: begins, go_on: Mutex::new(waits) });
        let pool = Pool::start(settings, [(StoreId(7), store)].into()).unwrap();
        let reply: Reply = Arc::new(move |answer| answered.send(answer).unwrap());
        Self { pool, begun, go_on, reply, answers, asked: 0 }
    }

    fn ask_store(&mut self, store: u16, username: &str) -> Option<Opinion> {
        let credentials = Credentials {
            client_id: "lamp".into(),
            username: username.into(),
            password: b"x".as_slice().into(),
            gateway: GatewayId(0),
            address: None,
        };
        let id = Key { slot: self.asked, generation: 3 };
        self.asked += 1;
        let question = Question { id, store: StoreId(store), credentials: Arc::new(credentials) };
        let answer = self.pool.ask(question, &self.reply)?;
        assert_eq!(answer.id, id);
        Some(answer.opinion)
    }

    fn ask(&mut self, username: &str) -> Option<Opinion> {
        self.ask_store(7, username)
    }

    fn answer(&self) -> (u32, Opinion) {
        let answer = self.answers.recv().unwrap();
        assert_eq!(answer.id.generation, 3);
        (answer.id.slot, answer.opinion)
    }

    fn count(&self, name: &str, label: &str) -> u64 {
        let meter = self.pool.meter();
        let series = meter.read().filter(|(series, _)| {
            series.family.name == name && (label.is_empty() || series.labels.iter().any(|(_, value)| *value == label))
        });
        series.map(|(_, value)| value).sum()
    }
}

fn settings(threads: usize, waiting: usize) -> PoolSettings {
    PoolSettings { threads, waiting, patience: Duration::from_secs(3600) }
}

const ANSWERS: &str = "tidegate_auth_store_answers_total";
const ALLOW: Opinion = Opinion::Allow { superuser: false };

#[test]
fn what_needs_no_work_is_answered_on_the_spot_and_the_rest_by_a_thread() {
    let mut bench = Bench::new(settings(2, 8));
    assert_eq!(bench.ask("known"), Some(ALLOW));
    assert_eq!(bench.ask("unknown"), Some(Opinion::Ignore));
    assert_eq!(bench.ask("super"), None);
    assert_eq!(bench.answer(), (2, Opinion::Allow { superuser: true }));
    assert_eq!(bench.ask("other"), None);
    assert_eq!(bench.answer(), (3, Opinion::Deny));
    assert_eq!(
        ["allow", "deny", "ignore", "failed", "busy"].map(|result| bench.count(ANSWERS, result)),
        [2, 1, 1, 0, 0]
    );
    assert_eq!(["remembered", "computed"].map(|how| bench.count("tidegate_auth_verifications_total", how)), [1, 2]);
}

#[test]
fn a_full_queue_answers_busy_at_once_and_nobody_is_answered_twice() {
    let mut bench = Bench::new(settings(1, 2));
    assert_eq!(bench.ask("slow"), None);
    bench.begun.recv().unwrap();
    assert_eq!((bench.ask("a"), bench.ask("b")), (None, None));
    assert_eq!(bench.count("tidegate_auth_store_waiting", ""), 2);
    assert_eq!(bench.ask("c"), Some(Opinion::Busy));
    assert_eq!(bench.ask("known"), Some(ALLOW), "who needs no thread is not kept out");
    bench.go_on.send(()).unwrap();
    assert_eq!([(); 3].map(|()| bench.answer()), [(0, ALLOW), (1, Opinion::Deny), (2, Opinion::Deny)]);
    assert_eq!(bench.count("tidegate_auth_store_waiting", ""), 0);
    assert_eq!(bench.count(ANSWERS, "busy"), 1);
    drop(bench.pool);
    drop(bench.reply);
    assert!(bench.answers.recv().is_err(), "there was an answer too many");
}

#[test]
fn a_question_that_has_waited_too_long_is_not_worth_a_hash() {
    let mut bench = Bench::new(PoolSettings { patience: Duration::ZERO, ..settings(1, 8) });
    assert_eq!(bench.ask("other"), None);
    assert_eq!(bench.answer(), (0, Opinion::Busy));
    assert_eq!(bench.count("tidegate_auth_verifications_total", "computed"), 0);
}

#[test]
fn a_panic_fails_its_question_and_no_other() {
    let mut bench = Bench::new(settings(1, 8));
    for _ in 0..3 {
        assert_eq!(bench.ask("panic"), None);
        assert_eq!(bench.answer().1, Opinion::Failed);
    }
    assert_eq!(bench.ask("super"), None);
    assert_eq!(bench.answer(), (3, Opinion::Allow { superuser: true }));
    assert_eq!(bench.count(ANSWERS, "failed"), 3);
}

#[test]
fn a_reply_that_panics_takes_no_thread_with_it() {
    let mut bench = Bench::new(settings(1, 8));
    let sound = std::mem::replace(&mut bench.reply, Arc::new(|_| panic!("the shard is gone")));
    assert_eq!(bench.ask("other"), None);
    bench.reply = sound;
    assert_eq!(bench.ask("other"), None);
    assert_eq!(bench.answer(), (1, Opinion::Deny));
}

#[test]
fn a_store_that_is_gone_lets_nobody_in_but_answers_whom_it_was_asked_about() {
    let mut bench = Bench::new(settings(1, 8));
    assert_eq!(bench.ask_store(8, "known"), Some(Opinion::Failed));
    assert_eq!(bench.ask("slow"), None);
    bench.begun.recv().unwrap();
    bench.pool.replace(Stores::new());
    assert_eq!(bench.ask("known"), Some(Opinion::Failed));
    bench.go_on.send(()).unwrap();
    assert_eq!(bench.answer(), (1, ALLOW));
}

#[test]
fn the_end_of_the_pool_is_the_end_of_its_threads_and_of_what_waits() {
    let mut bench = Bench::new(settings(1, 8));
    assert_eq!((bench.ask("slow"), bench.begun.recv()), (None, Ok(())));
    assert_eq!((bench.ask("a"), bench.ask("b")), (None, None));
    let shared = Arc::clone(&bench.pool.shared);
    let pool = bench.pool;
    let ending = thread::spawn(|| drop(pool));
    while !shared.queue().closed {
        thread::yield_now();
    }
    bench.go_on.send(()).unwrap();
    ending.join().unwrap();
    drop(bench.reply);
    let answered: Vec<_> = bench.answers.iter().map(|answer| answer.id.slot).collect();
    assert_eq!(answered, [0], "what had begun was finished, and nothing else was begun");
}

#[test]
fn half_the_cores_verify_but_one_at_least_and_four_at_most() {
    let threads = |cores| PoolSettings::for_cores(cores, Duration::from_secs(5)).threads;
    assert_eq!([0, 1, 2, 3, 4, 8, 64].map(threads), [1, 1, 1, 1, 2, 4, 4]);
}
