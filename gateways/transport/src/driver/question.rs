//! A question on its way to a shard: [`Ask`], owned.

use bridge_core::Qos;
use bridge_core::ask::{Answer, Ask, Wanted};
use bridge_core::topic::TopicFilter;
use bridge_core::uplink::{Refusal, Token};
use std::sync::Arc;

/// See [`Ask`]; client ids and filters as there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// See [`Ask::List`].
    List {
        /// Where the slice before ended.
        after: Option<Token>,
        /// Rows at most.
        rows: usize,
        /// Clients looked at, at most.
        scan: usize,
        /// Which ones: the same for all slices of a list.
        wanted: Arc<Wanted>,
    },
    /// See [`Ask::Show`].
    Show(Box<str>),
    /// See [`Ask::Kick`].
    Kick(Box<str>),
    /// See [`Ask::Subscriptions`].
    Subscriptions(Box<str>),
    /// See [`Ask::Subscribe`].
    Subscribe {
        /// The client id.
        id: Box<str>,
        /// The filter.
        filter: Box<str>,
        /// The most it gets.
        qos: Qos,
    },
    /// See [`Ask::Unsubscribe`].
    Unsubscribe {
        /// The client id.
        id: Box<str>,
        /// The filter.
        filter: Box<str>,
    },
}

impl Question {
    /// Asks it. What is no topic filter is refused by itself.
    pub(super) fn put(&self, ask: impl FnOnce(&Ask<'_>) -> Answer) -> Answer {
        let refused = Answer::Refused(Refusal::BadTopic);
        match self {
            Self::List { after, rows, scan, wanted } => {
                ask(&Ask::List { after: *after, rows: *rows, scan: *scan, wanted })
            }
            Self::Show(id) => ask(&Ask::Show { id }),
            Self::Kick(id) => ask(&Ask::Kick { id }),
            Self::Subscriptions(id) => ask(&Ask::Subscriptions { id }),
            Self::Subscribe { id, filter, qos } => match TopicFilter::try_from(&**filter) {
                Ok(filter) => ask(&Ask::Subscribe { id, filter, qos: *qos }),
                Err(_) => refused,
            },
            Self::Unsubscribe { id, filter } => match TopicFilter::try_from(&**filter) {
                Ok(filter) => ask(&Ask::Unsubscribe { id, filter }),
                Err(_) => refused,
            },
        }
    }
}
