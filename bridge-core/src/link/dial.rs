//! Which broker to try, with which protocol, and when.

use super::settings::VersionChoice;
use crate::rng::Rng;
use crate::time::{Deadline, Now};
use codec_mqtt::Version;

/// What is known of the brokers in the list.
#[derive(Debug)]
pub(super) struct Dial {
    targets: Vec<Target>,
    target: usize,
    /// Failures since a connection last proved stable.
    failures: u32,
    /// Closes in a row that look as if another process used our client id.
    thrown_out: u32,
    /// The last attempt found no broker, or one that did not answer.
    unanswered: bool,
    /// Where our session is: broker and protocol.
    home: Option<(usize, Version)>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Target {
    version: Version,
    /// Orderly closes in a row before any CONNACK.
    silent: u8,
    /// The broker itself said that it does not know MQTT 5.
    sure: bool,
}

/// How a connection, or an attempt at one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No connection, or none that got an answer to CONNECT.
    Unanswered {
        /// The broker closed it in order.
        orderly: bool,
    },
    /// CONNACK refused.
    Refused {
        /// Because of the protocol version.
        version: bool,
    },
    /// It had been accepted.
    Lost {
        /// When.
        since: Now,
        /// The broker threw us out: DISCONNECT 0x8E, or a close without a word.
        thrown_out: bool,
    },
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) until: Deadline,
    /// Another process uses our client id.
    pub(super) conflict: bool,
}

impl Dial {
    pub(super) fn new(choice: VersionChoice, targets: usize, seed: u64) -> Self {
        let version = match choice {
            VersionChoice::V5OrOlder => Version::V5,
            VersionChoice::V311 => Version::V311,
        };
        let target = Target { version, silent: 0, sure: choice == VersionChoice::V311 };
        let targets = vec![target; targets.max(1)];
        Self { targets, target: 0, failures: 0, thrown_out: 0, unanswered: false, home: None, rng: Rng::seeded(seed) }
    }

    pub(super) const fn target(&self) -> usize {
        self.target
    }

    pub(super) fn version(&self) -> Version {
        self.targets.get(self.target).map_or(Version::V311, |target| target.version)
    }

    /// True when the broker that is to be tried holds our session.
    pub(super) fn is_home(&self) -> bool {
        self.home == Some((self.target, self.version()))
    }

    /// The broker that holds our session, and the protocol that it was made with.
    pub(super) const fn home(&self) -> Option<(usize, Version)> {
        self.home
    }

    /// Our session is there: it is to be tried first.
    pub(super) fn settle_at(&mut self, target: usize, version: Version) {
        self.home = Some((target, version));
        self.target = target;
    }

    /// We have no session any more.
    pub(super) const fn leave_home(&mut self) {
        self.home = None;
    }

    /// The broker has accepted us: our session is there.
    pub(super) fn accepted(&mut self) {
        self.home = Some((self.target, self.version()));
        self.answered();
    }

    /// It begins where `other` has got to.
    pub(super) fn follow(&mut self, other: &Self) {
        self.targets.clone_from(&other.targets);
        self.target = other.target;
    }

    /// True when the last attempt got no answer.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// The broker has answered CONNECT with success.
    pub(super) fn answered(&mut self) {
        self.unanswered = false;
        if let Some(target) = self.targets.get_mut(self.target) {
            // It knows the protocol: a close before CONNACK says nothing about that any more.
            (target.silent, target.sure) = (0, true);
        }
    }

    /// Decides how to go on after an end.
    ///
    /// A failure moves on to the next broker. A connection that had proved stable does not, since our session is where it
    /// was, nor does a broker that is to be asked again in its own protocol.
    pub(super) fn ended(&mut self, now: Now, end: End) -> Wait {
        self.unanswered = matches!(end, End::Unanswered { .. });
        let stable = matches!(end, End::Lost { since, .. } if since.after_ms(STABLE_MS).is_due(now));
        if stable {
            (self.failures, self.thrown_out) = (0, 0);
        }
        match end {
            End::Lost { thrown_out: true, .. } if !stable => self.thrown_out = self.thrown_out.saturating_add(1),
            End::Lost { .. } | End::Refused { .. } | End::Unanswered { .. } => self.thrown_out = 0,
        }
        if self.thrown_out >= CONFLICT_AFTER {
            return Wait { until: now.after_ms(LONGEST_WAIT_MS), conflict: true };
        }
        let relearned = self.learn_version(end);
        if !stable && !relearned {
            self.target = (self.target + 1) % self.targets.len().max(1);
        }
        self.failures = self.failures.saturating_add(1);
        Wait { until: now.after_ms(self.back_off_ms()), conflict: false }
    }

    /// A broker that knows only 3.1.1 says so, or closes at the sight of an MQTT 5 CONNECT. The latter is a guess: it is
    /// taken back when 3.1.1 fares no better. True if another protocol is spoken from now on.
    fn learn_version(&mut self, end: End) -> bool {
        let Some(target) = self.targets.get_mut(self.target) else { return false };
        let before = target.version;
        match end {
            End::Refused { version: true } if target.version == Version::V5 => {
                (target.version, target.sure, target.silent) = (Version::V311, true, 0);
            }
            End::Unanswered { orderly: true } if !target.sure => {
                target.silent += 1;
                if target.silent >= SILENT_CLOSES {
                    target.silent = 0;
                    target.version = match target.version {
                        Version::V5 => Version::V311,
                        Version::V311 => Version::V5,
                    };
                }
            }
            End::Unanswered { .. } | End::Refused { .. } | End::Lost { .. } => target.silent = 0,
        }
        target.version != before
    }

    /// The upper half of 200 ms doubled with each failure up to 30 s; spread, so that links do not come back together.
    fn back_off_ms(&mut self) -> u64 {
        let doublings = self.failures.min(16);
        let longest = (SHORTEST_WAIT_MS << doublings).min(LONGEST_WAIT_MS);
        longest / 2 + self.rng.below(longest / 2 + 1)
    }
}

const SHORTEST_WAIT_MS: u64 = 100;
const LONGEST_WAIT_MS: u64 = 30_000;
/// A connection that has lasted this long was not a failure.
const STABLE_MS: u64 = 5_000;
const CONFLICT_AFTER: u32 = 3;
const SILENT_CLOSES: u8 = 2;

#[cfg(test)]
mod tests;
