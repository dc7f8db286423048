//! Listeners of connections: TCP and TLS.

use settings::{BindAddress, ByteSize, HumanDuration, Section, Settings};

use super::{ListenerConfig, TlsConfig};

/// A listener of connections, plain or encrypted. `K`: keys of the protocol's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamListenerConfig<K = NoKeys> {
    /// What listeners of all kinds have.
    pub common: ListenerConfig,
    /// Time for the PROXY header: 100 ms to 1 min.
    pub proxy_protocol_timeout: HumanDuration,
    /// Octets that may wait to be sent to one device, before no more is taken for it: 1 KB to 16 MB.
    pub high_watermark: ByteSize,
    /// Octets below which more is taken again: less than `high_watermark`.
    pub low_watermark: ByteSize,
    /// How long a device may take nothing of what waits for it: 1 s to 1 h. Then its connection is closed.
    pub send_timeout: HumanDuration,
    /// Of a TLS listener; `None` on one without.
    pub tls: Option<TlsConfig>,
    /// Keys of the protocol's own.
    pub protocol: K,
}

impl<K: Settings + Default> StreamListenerConfig<K> {
    /// Without encryption, on this port of the node's own address.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self {
            common: ListenerConfig::on(port),
            proxy_protocol_timeout: HumanDuration::from_secs(3),
            high_watermark: ByteSize::from_kb(64),
            low_watermark: ByteSize::from_kb(16),
            send_timeout: HumanDuration::from_secs(15),
            tls: None,
            protocol: K::default(),
        }
    }

    /// With TLS, on this port of the node's own address.
    #[must_use]
    pub fn tls(port: u16) -> Self {
        Self { tls: Some(TlsConfig::default()), ..Self::tcp(port) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn bind(&self) -> BindAddress {
        self.common.bind
    }

    /// Takes from `newer` what may change while the node runs.
    pub(super) fn reload(&mut self, newer: &Self) {
        self.common.reload(&newer.common);
        self.tls.clone_from(&newer.tls);
    }
}

impl<K: Settings + Default> Settings for StreamListenerConfig<K> {
    fn visit(&mut self, s: &mut Section<'_>) {
        self.common.visit_common(s);
        let times = HumanDuration::from_millis(100)..=HumanDuration::from_secs(60);
        s.ranged("proxy_protocol_timeout", &mut self.proxy_protocol_timeout, times);
        let sizes = ByteSize::from_kb(1)..=ByteSize::from_mb(16);
        s.ranged("high_watermark", &mut self.high_watermark, sizes);
        s.leaf("low_watermark", &mut self.low_watermark);
        let times = HumanDuration::from_secs(1)..=HumanDuration::from_secs(3600);
        s.ranged("send_timeout", &mut self.send_timeout, times);
        self.protocol.visit(s);
        if let Some(tls) = &mut self.tls {
            s.table("tls", tls);
        }
        s.renamed(&[("ssl", "tls"), ("ssl_options", "tls")]);
        s.renamed(&[("certfile", "tls.cert_file"), ("keyfile", "tls.key_file"), ("cacertfile", "tls.ca_file")]);
        if self.low_watermark >= self.high_watermark {
            s.refuse("`low_watermark` must be less than `high_watermark`");
        }
    }
}

/// No keys of a protocol's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoKeys;

impl Settings for NoKeys {
    fn visit(&mut self, _: &mut Section<'_>) {}
}
