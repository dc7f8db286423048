//! The threads on which credential stores take their time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bridge_core::auth::{Answer, Opinion, Question, StoreId};
use bridge_core::meter::Meter;

use crate::counts::{AuthCount, SharedCounts};
use crate::store::Store;

/// How a shard hears an answer. It is called on a thread of the pool, and must not block.
pub type Reply = Arc<dyn Fn(Answer) + Send + Sync>;

/// The stores by their numbers.
pub type Stores = BTreeMap<StoreId, Arc<dyn Store>>;

/// How much the pool does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Threads; at least 1.
    pub threads: usize,
    /// Questions that may wait for a thread; the next one is answered [`Opinion::Busy`].
    pub waiting: usize,
    /// How long a question is worth an answer, see [`Pool::be_patient`].
    pub patience: Duration,
}

impl PoolSettings {
    /// Half the cores, 1 to 4 threads: passwords must not keep the shards from their work.
    #[must_use]
    pub fn for_cores(cores: usize, patience: Duration) -> Self {
        Self { threads: (cores / 2).clamp(1, 4), waiting: WAITING, patience }
    }
}

/// Answers questions to stores. When it is dropped, what still waits goes unanswered, and its threads end.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stores: RwLock<Arc<Stores>>,
    queue: Mutex<Queue>,
    /// Somebody waits in the queue, or it is closed.
    news: Condvar,
    counts: SharedCounts,
    waiting: usize,
    patience_ms: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    question: Question,
    store: Arc<dyn Store>,
    reply: Reply,
    asked: Instant,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn start(settings: PoolSettings, stores: Stores) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            stores: RwLock::new(Arc::new(stores)),
            queue: Mutex::default(),
            news: Condvar::new(),
            counts: SharedCounts::default(),
            waiting: settings.waiting,
            patience_ms: AtomicU64::default(),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        pool.be_patient(settings.patience);
        for number in 0..settings.threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("auth-{number}")).spawn(move || shared.work())?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Asks a store. What it can say at once is returned; else `reply` is called with the answer, once.
    #[must_use]
    pub fn ask(&self, question: Question, reply: &Reply) -> Option<Answer> {
        let shared = &self.shared;
        let store = shared.stores().get(&question.store).map(Arc::clone);
        let at_once = |opinion| Some(Answer { id: question.id, opinion });
        let Some(store) = store else {
            shared.counts.up(AuthCount::Gone);
            return at_once(Opinion::Failed);
        };
        if let Some(opinion) = store.at_once(&question.credentials) {
            shared.counts.up(AuthCount::of(store.kind(), opinion));
            if matches!(opinion, Opinion::Allow { .. }) {
                shared.counts.up(AuthCount::Remembered);
            }
            return at_once(opinion);
        }
        let mut queue = shared.queue();
        if queue.closed || queue.jobs.len() >= shared.waiting {
            drop(queue);
            shared.counts.up(AuthCount::of(store.kind(), Opinion::Busy));
            return at_once(Opinion::Busy);
        }
        queue.jobs.push_back(Job { question, store, reply: Arc::clone(reply), asked: Instant::now() });
        shared.counts.set(AuthCount::Waiting, queue.jobs.len());
        drop(queue);
        shared.news.notify_one();
        None
    }

    /// Other stores from now on; questions that wait are still answered by those that they were put to.
    pub fn replace(&self, stores: Stores) {
        *self.shared.stores.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(stores);
    }

    /// From now on a question that has waited so long is answered [`Opinion::Busy`], unasked: nobody waits for it
    /// any more.
    pub fn be_patient(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.shared.patience_ms.store(patience, Ordering::Relaxed);
    }

    /// For whoever reports.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.shared.counts.meter()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.queue();
            queue.closed = true;
            queue.jobs.clear();
        }
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            // A thread outlives every panic of its work.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn stores(&self) -> Arc<Stores> {
        Arc::clone(&self.stores.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic is told by itself, and ends this job alone.
            drop(catch_unwind(AssertUnwindSafe(|| self.answer(&job))));
        }
    }

    /// The next job, once there is one; `None` when there will be none.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                self.counts.set(AuthCount::Waiting, queue.jobs.len());
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, job: &Job) {
        let opinion = match job.asked.elapsed().as_millis() >= u128::from(self.patience_ms.load(Ordering::Relaxed)) {
            true => Opinion::Busy,
            false => catch_unwind(AssertUnwindSafe(|| self.decide(job))).unwrap_or(Opinion::Failed),
        };
        self.counts.up(AuthCount::of(job.store.kind(), opinion));
        (job.reply)(Answer { id: job.question.id, opinion });
    }

    /// What another client's question has brought to light in the meantime need not be found out again.
    fn decide(&self, job: &Job) -> Opinion {
        let credentials = &job.question.credentials;
        let (opinion, how) = match job.store.at_once(credentials) {
            Some(opinion) => (opinion, AuthCount::Remembered),
            None => (job.store.decide(credentials), AuthCount::Computed),
        };
        self.counts.up(how);
        opinion
    }
}

/// Questions that wait, in all.
const WAITING: usize = 4096;

#[cfg(test)]
mod tests;
