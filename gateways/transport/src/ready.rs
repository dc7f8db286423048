//! Which of many sockets have something to do. Each has a waker of its own, which puts its key on a list and wakes the
//! one task that polls them all: a turn costs what is active, not what exists.

use bridge_core::slab::Key;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// The keys whose wakers were woken, each once, in the order of their first waking. A waker takes 48 octets.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    shared: Arc<Shared>,
    /// Gathered and not taken yet.
    gathered: VecDeque<Arc<Bell>>,
}

/// What the wakers know, on whichever thread they are woken.
#[derive(Debug, Default)]
struct Shared(Mutex<Woken>);

#[derive(Debug, Default)]
struct Woken {
    bells: VecDeque<Arc<Bell>>,
    /// The task that gathers.
    task: Option<Waker>,
    /// That task has been woken, and has not gathered since.
    called: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        // Nothing that is done under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One socket's.
#[derive(Debug)]
struct Bell {
    shared: Arc<Shared>,
    key: Key,
    /// It is on the list, and need not be put there again.
    listed: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let task = {
            let mut woken = shared.lock();
            woken.bells.push_back(self);
            let first = !std::mem::replace(&mut woken.called, true);
            woken.task.as_ref().filter(|_| first).cloned()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl ReadyList {
    /// A waker that puts `key` on this list.
    pub(crate) fn waker(&self, key: Key) -> Waker {
        Waker::from(Arc::new(Bell { shared: Arc::clone(&self.shared), key, listed: AtomicBool::new(false) }))
    }

    /// Gathers what was woken until now, for [`ReadyList::next`]; from now on the first waking wakes this task. True when
    /// there is something.
    pub(crate) fn gather(&mut self, cx: &Context<'_>) -> bool {
        let mut woken = self.shared.lock();
        if !woken.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            woken.task = Some(cx.waker().clone());
        }
        woken.called = false;
        self.gathered.append(&mut woken.bells);
        !self.gathered.is_empty()
    }

    /// The next of those gathered. From now on its waker puts it on the list again; it may be stale.
    pub(crate) fn next(&mut self) -> Option<Key> {
        let bell = self.gathered.pop_front()?;
        bell.listed.store(false, Ordering::Release);
        Some(bell.key)
    }

    /// How many are gathered and not taken.
    pub(crate) fn left(&self) -> usize {
        self.gathered.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        (Arc::clone(&task), Waker::from(task))
    }

    fn key(slot: u32) -> Key {
        Key { slot, generation: 7 }
    }

    fn taken(list: &mut ReadyList, waker: &Waker) -> Vec<u32> {
        list.gather(&Context::from_waker(waker));
        std::iter::from_fn(|| list.next()).map(|key| key.slot).collect()
    }

    #[test]
    fn a_key_is_listed_once_however_often_it_is_woken_and_again_after_it_was_taken() {
        let (mut list, (_, task)) = (ReadyList::default(), task());
        let (one, two) = (list.waker(key(1)), list.waker(key(2)));
        for waker in [&two, &one, &two, &two.clone()] {
            waker.wake_by_ref();
        }
        assert_eq!(taken(&mut list, &task), [2, 1], "in the order of their first waking");
        assert_eq!(taken(&mut list, &task), []);
        two.wake_by_ref();
        two.wake();
        assert_eq!(taken(&mut list, &task), [2]);
    }

    #[test]
    fn what_is_not_taken_stays_and_is_not_listed_twice() {
        let (mut list, (_, task)) = (ReadyList::default(), task());
        let (one, two) = (list.waker(key(1)), list.waker(key(2)));
        one.wake_by_ref();
        two.wake_by_ref();
        assert!(list.gather(&Context::from_waker(&task)));
        assert_eq!(list.next(), Some(key(1)));
        two.wake_by_ref();
        one.wake_by_ref();
        assert_eq!(list.left(), 1);
        assert_eq!(taken(&mut list, &task), [2, 1]);
    }

    #[test]
    fn the_task_is_woken_by_the_first_waking_after_it_has_gathered() {
        let (mut list, (calls, task)) = (ReadyList::default(), task());
        let wakers = [1, 2, 3].map(|slot| list.waker(key(slot)));
        wakers[0].wake_by_ref();
        assert_eq!(calls.0.load(Ordering::Relaxed), 0, "nobody has gathered yet");
        assert_eq!(taken(&mut list, &task), [1]);
        for waker in &wakers {
            waker.wake_by_ref();
        }
        assert_eq!(calls.0.load(Ordering::Relaxed), 1);
        assert_eq!(taken(&mut list, &task), [1, 2, 3]);
        wakers[2].wake_by_ref();
        assert_eq!(calls.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_waker_of_another_thread_rings_as_well_and_none_is_lost() {
        let (mut list, (_, task)) = (ReadyList::default(), task());
        let wakers: Vec<Waker> = (0..64).map(|slot| list.waker(key(slot))).collect();
        let ringing = std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        ringing.join().unwrap();
        assert_eq!(taken(&mut list, &task), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn a_waker_is_small() {
        assert!(size_of::<Bell>() + 2 * size_of::<usize>() <= 48);
    }
}
