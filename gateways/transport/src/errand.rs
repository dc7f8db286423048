//! A link that belongs to no shard: it has one thing to do, and stops.

use crate::broker::Target;
use crate::clock::Clock;
use crate::driver::line::{Line, LinkHost, Way};
use bridge_core::bridge::LinkId;
use bridge_core::link::Link;
use bridge_core::time::Now;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Carries the octets of `link` until it has stopped by itself, as one that is
/// [`SessionScope::Discarded`](bridge_core::link::SessionScope::Discarded) does: connects as it wishes to `targets`, each
/// time for at most `connect_timeout`. Returns it as it is then.
///
/// # Panics
/// When polled outside a tokio runtime whose I/O and time are enabled.
pub async fn run(clock: Clock, link: Link, targets: Arc<[Target]>, connect_timeout: Duration) -> Link {
    let way = Way { targets: &targets, connect_timeout };
    let (mut line, mut host, mut scratch) = (Line::new(ONLY), Alone(link), Vec::new());
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        for _ in 0..TURNS {
            let (mono_ms, wall_ms) = clock.now();
            let now = Now { mono_ms, wall_ms };
            let mut busy = line.hear(cx, now, way, &mut host, &mut scratch);
            if host.0.next_deadline().is_some_and(|deadline| deadline.is_due(now)) {
                host.0.timer(now);
            }
            busy |= line.speak(cx, now, way, &mut host);
            if host.0.is_drained() && line.is_closed() {
                return Poll::Ready(());
            }
            if busy {
                continue;
            }
            // Without a deadline there is a connection to wait for.
            let Some(deadline) = host.0.next_deadline() else { return Poll::Pending };
            sleep.as_mut().reset(clock.instant(deadline.0).into());
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    host.0
}

/// The only link there is.
struct Alone(Link);

impl LinkHost for Alone {
    fn link(&self, _id: LinkId) -> Option<&Link> {
        Some(&self.0)
    }

    fn link_mut(&mut self, _id: LinkId) -> Option<&mut Link> {
        Some(&mut self.0)
    }

    fn link_bytes(&mut self, now: Now, _id: LinkId, bytes: &[u8]) -> usize {
        let received = self.0.receive(now, bytes);
        if let Some(message) = received.message {
            // It subscribes to nothing, so that this is for nobody.
            self.0.acknowledge(message.due);
        }
        received.consumed
    }
}

const ONLY: LinkId = LinkId::shared(0);
/// Turns before the runtime gets a word in.
const TURNS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::link::{LinkSettings, Password, QueueLimits, SessionScope, VersionChoice};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::{JoinHandle, spawn};

    fn errand(broker: SocketAddr) -> Link {
        let settings = LinkSettings {
            client_id: "gone".into(),
            username: String::new(),
            password: Password::default(),
            keepalive_s: 60,
            max_inflight: 1,
            max_packet_size: 1 << 20,
            version: VersionChoice::V5OrOlder,
            servers: vec![broker.to_string()],
            will: None,
            session_expiry_s: 3600,
            scope: SessionScope::Discarded,
            queue: QueueLimits { max_bytes: 1, max_messages: 1 },
        };
        let target = Target::tcp(broker.ip().to_string(), broker.port());
        let run = run(Clock::start(), Link::new(settings, 1), [target].into(), Duration::from_secs(10));
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
    }

    /// Answers one CONNECT; what comes after it, until the end of the connection.
    fn broker(connack: &'static [u8]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(head[0], 0x10, "CONNECT");
            stream.read_exact(&mut vec![0; head[1].into()]).unwrap();
            stream.write_all(connack).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            rest
        };
        (address, spawn(answers))
    }

    #[test]
    fn an_errand_ends_when_the_session_has() {
        let (address, rest) = broker(&[0x20, 3, 0, 0, 0]);
        assert!(errand(address).has_discarded());
        assert_eq!(rest.join().unwrap()[0], 0xE0, "DISCONNECT");
    }

    #[test]
    fn an_errand_ends_when_the_broker_refuses() {
        let (address, rest) = broker(&[0x20, 3, 0, 0x87, 0]);
        assert!(!errand(address).has_discarded());
        assert_eq!(rest.join().unwrap(), []);
    }
}
