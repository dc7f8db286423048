//! Listeners as the machine knows them, and what it is made of.

use crate::config::{ByteOrder, FramingConfig, FramingKind, Naming, TcpConfig};
use bridge_core::live::Live;
use bridge_core::peer::{GatewayId, ListenerId};
use codec_rawtcp as raw;
use codec_rawtcp::{Delimiter, EncodeFault, Framer, Framing, FromGateway, Width};
use std::num::NonZeroU32;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct TcpSettings {
    /// Its number.
    pub gateway: GatewayId,
    /// What all its clients share.
    pub config: Live<TcpConfig>,
    /// Where they come from.
    pub listeners: Vec<ListenerSettings>,
    /// `node.name`, for `%n`.
    pub node: Box<str>,
    /// Each client has an MQTT connection of its own (`broker.mode`).
    pub own_links: bool,
    /// This shard has the subscription for all devices of the node, where there is one.
    pub first_shard: bool,
    /// Keeps whoever chooses client ids from choosing their hashes.
    pub seed: u64,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its number.
    pub id: ListenerId,
    /// How its streams are cut.
    pub framing: FramingConfig,
    /// The prefix of its clients' topics, with placeholders: its own, else the gateway's.
    pub mountpoint: String,
}

/// A listener at work.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) listener: ListenerId,
    pub(crate) speech: Speech,
    /// The subscription for all its devices, by its place in the list of those.
    pub(crate) route: Option<usize>,
}

/// What its devices speak.
#[derive(Debug)]
pub(crate) enum Speech {
    /// EMQ X's frames, with payloads of so many octets at most.
    Emqx { max: usize },
    /// Messages and nothing else.
    Plain { framer: Framer, naming: Naming },
}

impl Speech {
    /// `config` has been found fit: what is not falls back to its default.
    pub(crate) fn new(config: &FramingConfig) -> Self {
        let max = u32::try_from(config.max_frame.bytes()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        let framing = match config.framing {
            FramingKind::Emqx => return Self::Emqx { max: usize::try_from(max.get()).unwrap_or(usize::MAX) },
            FramingKind::Line => Delimiter::new(config.delimiter.as_bytes()).map_or(Framing::Raw, Framing::Line),
            FramingKind::LengthPrefix => Framing::LengthPrefix {
                width: match config.header_width {
                    1 => Width::One,
                    4 => Width::Four,
                    _ => Width::Two,
                },
                order: match config.header_endianness {
                    ByteOrder::Big => raw::ByteOrder::Big,
                    ByteOrder::Little => raw::ByteOrder::Little,
                },
            },
            FramingKind::Fixed => Framing::Fixed(NonZeroU32::new(config.frame_size).unwrap_or(NonZeroU32::MIN)),
            FramingKind::Raw => Framing::Raw,
        };
        let naming = Naming::read(&config.client_id).unwrap_or(Naming::Peer);
        Self::Plain { framer: Framer { framing, max_frame: max }, naming }
    }

    /// Appends a message as its devices read it; all or nothing.
    #[inline]
    pub(crate) fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match self {
            Self::Emqx { .. } => FromGateway::Data(payload).encode(out),
            Self::Plain { framer, .. } => framer.encode(payload, out),
        }
    }
}
