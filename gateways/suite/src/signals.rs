//! What the operating system asks for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The signals that the process listens to.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself. To be called on a runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|fault| Failure::Running(format!("cannot listen to signals: {fault}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The next SIGINT or SIGTERM. SIGHUP is told and passed over.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: this version does not reload; the configuration stays as it is");
                }
            }
        }
    }
}
