//! A broker's name, looked up once for many connections: after a broker's restart each device wants its own again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What a name stood for a moment ago. Shared by all connections to it; while one asks, the others wait for its answer.
#[derive(Debug, Default)]
pub struct Names {
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    addresses: Arc<[SocketAddr]>,
}

impl Names {
    /// The addresses of `host`, which is always the same.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok([SocketAddr::new(address, port)].into());
        }
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.since.elapsed() < FRESH) {
            return Ok(Arc::clone(&known.addresses));
        }
        let addresses: Arc<[SocketAddr]> = lookup_host((host, port)).await?.collect();
        *known = Some(Known { since: Instant::now(), addresses: Arc::clone(&addresses) });
        Ok(addresses)
    }

    /// Nobody was reached there: the name may stand for something else by now.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }
}

const FRESH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_once_until_it_is_forgotten() {
        let names = Names::default();
        let ask = || names.addresses("localhost", 7);
        let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
        assert!(!first.is_empty() && first.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        assert!(Arc::ptr_eq(&first, &second));
        names.forget().await;
        assert!(!Arc::ptr_eq(&first, &ask().await.unwrap()));
    }

    #[tokio::test]
    async fn an_address_needs_no_one_to_ask() {
        let names = Names::default();
        let expected = [SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 9))];
        assert_eq!(names.addresses("::1", 9).await.unwrap()[..], expected);
        assert!(names.known.lock().await.is_none());
    }
}
