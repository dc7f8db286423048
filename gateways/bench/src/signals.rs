//! SIGINT and SIGTERM, which ask a run to end politely.

use crate::failure::Failure;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals since it was made, in this thread and those that it starts; they end nothing by themselves any more.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: SignalFd,
    came: bool,
}

impl Interrupts {
    /// # Errors
    /// [`Failure::Io`] if the kernel refuses.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let failed = |errno: nix::errno::Errno| Failure::Io("signals", errno.into());
        let mut wanted = SigSet::empty();
        wanted.add(Signal::SIGINT);
        wanted.add(Signal::SIGTERM);
        wanted.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(failed)?;
        Ok(Self { signals, came: false })
    }

    /// Whether one has come, now or before.
    pub(crate) fn came(&mut self) -> bool {
        // What cannot be read is taken for a signal: better an early end than none.
        self.came = self.came || !matches!(self.signals.read_signal(), Ok(None));
        self.came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    #[test]
    fn a_signal_is_noticed_and_stays_noticed() {
        // In a thread of its own, since the signals stay blocked in it; `raise` is to the calling thread.
        let noticed = std::thread::spawn(|| {
            let mut interrupts = Interrupts::catch().unwrap();
            let before = interrupts.came();
            raise(Signal::SIGTERM).unwrap();
            [before, interrupts.came(), interrupts.came()]
        });
        assert_eq!(noticed.join().unwrap(), [false, true, true]);
    }
}
