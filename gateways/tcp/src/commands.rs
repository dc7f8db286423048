//! `command_subscription = "template"`: one subscription for all devices of the node.
//!
//! Shard 0's first link has it. A message that it brings names its device by the client id in its topic: the device is
//! here, or the directory knows its shard, and the message goes there.

use crate::base::Base;
use crate::config::{CommandSubscription, TcpConfig};
use crate::connection::Commands;
use crate::counts::Count;
use crate::machine::Tcp;
use crate::place::TcpSettings;
use crate::route::Route;
use bridge_core::downlink::{Delivery, Downlink};
use bridge_core::machine::Cx;
use bridge_core::outbox::Post;
use bridge_core::owners::Owner;
use bridge_core::peer::ListenerId;
use bridge_core::slab::Key;
use bridge_core::topic::{ClientId, TopicFilter};
use bridge_core::uplink::{ClientRef, Connect, Identity, Refusal, Taken, Token, Uplink};

/// The client id under which they are subscribed.
const CLIENT_ID: &str = "tcp-commands";
/// A number that no connection has.
const TOKEN: Token = Token(u64::MAX - 1);
/// A listener that there is not, and so no mountpoint: the filters have theirs in them.
const NOWHERE: ListenerId = ListenerId(u16::MAX);

/// Who subscribes for all.
#[derive(Debug, Default)]
pub(crate) struct Commander {
    /// Each once; a subscription's token is its place here.
    routes: Vec<Route>,
    /// This shard has the subscriptions.
    subscribes: bool,
    client: Option<ClientRef>,
}

impl Commander {
    /// Finds out for which listeners one subscription does, and tells their places.
    pub(crate) fn new(settings: &TcpSettings, config: &TcpConfig, base: &mut Base) -> Self {
        let standard = if settings.own_links { CommandSubscription::PerDevice } else { CommandSubscription::Template };
        if config.command_subscription.unwrap_or(standard) == CommandSubscription::PerDevice {
            return Self::default();
        }
        let mut routes: Vec<Route> = Vec::new();
        for (place, listener) in base.places.iter_mut().zip(&settings.listeners) {
            let Some(route) = Route::new(&listener.mountpoint, &config.dn_topic, &settings.node) else { continue };
            let known = routes.iter().position(|known| *known == route);
            place.route = Some(known.unwrap_or(routes.len()));
            if known.is_none() {
                routes.push(route);
            }
        }
        Self { routes, subscribes: settings.first_shard, client: None }
    }

    /// True for the number under which it speaks to the bridge.
    pub(crate) fn is_called(&self, client: Token) -> bool {
        client == TOKEN
    }

    /// Subscribes, if that has not been done: the bridge asks the broker as soon as it is there, and again whenever that
    /// may have forgotten.
    #[inline]
    pub(crate) fn subscribe(&mut self, base: &Base, cx: &mut Cx<'_>) {
        if self.client.is_none() && self.subscribes && !self.routes.is_empty() {
            self.client = self.begin(base, cx);
        }
    }

    fn begin(&self, base: &Base, cx: &mut Cx<'_>) -> Option<ClientRef> {
        // The operator's own subscription: access rules for devices say nothing about it.
        let identity = Identity { superuser: true, ..Identity::default() };
        let who = Connect {
            gateway: base.gateway,
            listener: NOWHERE,
            id: ClientId::try_from(CLIENT_ID).ok()?,
            identity: &identity,
            address: None,
            connectionless: true,
            link: None,
        };
        let client = cx.bridge.connect(TOKEN, &who).ok()?;
        for (place, route) in (0..).zip(&self.routes) {
            self.ask(base, cx, client, Token(place), route);
        }
        Some(client)
    }

    fn ask(&self, base: &Base, cx: &mut Cx<'_>, client: ClientRef, token: Token, route: &Route) {
        let Ok(filter) = TopicFilter::try_from(route.filter()) else { return };
        let uplink = Uplink::Resubscribe { token, filter, qos: base.downlink_qos };
        if let Taken::Denied(why) = cx.bridge.up(cx.now, client, uplink) {
            refused(base, route, why);
        }
    }

    /// What the broker has refused it may take now.
    pub(crate) fn on_broker_back(&self, base: &Base, cx: &mut Cx<'_>) {
        let Some(client) = self.client else { return };
        for (place, route) in (0..).zip(&self.routes) {
            self.ask(base, cx, client, Token(place), route);
        }
    }

    fn route(&self, token: Token) -> Option<(usize, &Route)> {
        let place = usize::try_from(token.0).ok()?;
        Some((place, self.routes.get(place)?))
    }
}

fn refused(base: &Base, route: &Route, why: Refusal) {
    base.counts.up(crate::counts::refused(why));
    tracing::error!(
        protocol = "tcp",
        topic = route.filter(),
        reason = why.reason(),
        "no device gets messages: the broker refuses the subscription for all of them"
    );
}

impl Tcp {
    /// Something for who subscribes for all.
    pub(crate) fn on_command(&mut self, cx: &mut Cx<'_>, down: Downlink<'_>) {
        match down {
            Downlink::Message(delivery) => self.hand_on(cx, &delivery),
            Downlink::Subscribed { token, granted: Err(why) } => {
                if let Some((_, route)) = self.commander.route(token) {
                    refused(&self.base, route, why);
                }
            }
            Downlink::Subscribed { .. } | Downlink::Settled { .. } | Downlink::Ended(_) | Downlink::Awake(_) => {}
        }
    }

    /// A message finds its device, here or on another shard.
    fn hand_on(&mut self, cx: &mut Cx<'_>, delivery: &Delivery<'_>) {
        let topic = delivery.message.view().topic.as_str();
        let Some((place, route)) = self.commander.route(delivery.subscription) else { return };
        let Some(id) = route.client_id(topic) else { return self.base.counts.up(Count::NotConnected) };
        if let Some(key) = self.table.named(id) {
            if self.is_addressed(key, place, topic, true) {
                return self.deliver(cx, key, delivery.message, delivery.qos, None);
            }
            return self.base.counts.up(Count::NotConnected);
        }
        match cx.owners.locate(self.base.gateway, id) {
            Owner::Elsewhere(to) => cx.posts.push(Post {
                to,
                gateway: self.base.gateway,
                client: id.into(),
                message: delivery.message.keep(cx.now),
                qos: delivery.qos,
            }),
            Owner::Here | Owner::Nobody => self.base.counts.up(Count::NotConnected),
        }
    }

    /// A message that shard 0 has had for a device that lives here.
    pub(crate) fn on_post(&mut self, cx: &mut Cx<'_>, post: &Post) {
        let Some(key) = self.table.named(&post.client) else { return self.base.counts.up(Count::NotConnected) };
        let Some(view) = post.message.view(cx.now) else { return self.base.counts.up(Count::Expired) };
        let place = self.table.get(key).and_then(|connection| self.base.place(connection.listener)?.route);
        if place.is_some_and(|place| self.is_addressed(key, place, view.topic.as_str(), false)) {
            self.deliver_stored(cx, key, &post.message, post.qos);
        } else {
            self.base.counts.up(Count::NotConnected);
        }
    }

    /// True if the device has its messages by this subscription, and the topic is its own. `matched`: the message came by
    /// it, and names the device.
    fn is_addressed(&self, key: Key, place: usize, topic: &str, matched: bool) -> bool {
        let Some(connection) = self.table.get(key) else { return false };
        let (Some(session), Some(at)) = (connection.session(), self.base.place(connection.listener)) else {
            return false;
        };
        if session.commands != Commands::Shared {
            return false;
        }
        let route = self.commander.routes.get(place).filter(|_| at.route == Some(place));
        let who = (&*session.id, &session.identity, connection.addr);
        route.is_some_and(|route| route.is_topic_of(&self.base, topic, matched, who))
    }
}
