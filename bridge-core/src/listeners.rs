//! What the operator wants of the listeners' clients, as far as it may change while the node runs.

use crate::access::AccessList;
use crate::limit::SessionLimits;
use crate::peer::ListenerId;
use std::net::IpAddr;

/// What holds for one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerPolicy {
    /// Whom it hears.
    pub access: AccessList,
    /// How much each of its sessions may publish.
    pub limits: SessionLimits,
}

/// What holds for all listeners, by number. The same for every shard; by default everybody is heard, without limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    policies: Box<[ListenerPolicy]>,
    /// There is one that does not hear everybody.
    guarded: bool,
}

impl Listeners {
    /// In the order of the listeners' numbers.
    #[must_use]
    pub fn new(policies: Vec<ListenerPolicy>) -> Self {
        let guarded = policies.iter().any(|policy| !policy.access.is_open());
        Self { policies: policies.into(), guarded }
    }

    /// Whether `listener` hears what comes from this address. One that is not known hears everybody.
    #[inline]
    #[must_use]
    pub fn admits(&self, listener: ListenerId, address: IpAddr) -> bool {
        !self.guarded || self.judges(listener, address)
    }

    fn judges(&self, listener: ListenerId, address: IpAddr) -> bool {
        self.policies.get(usize::from(listener.0)).is_none_or(|policy| policy.access.admits(address))
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &ListenerPolicy> {
        self.policies.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_has_a_list_of_its_own() {
        let access = AccessList::from(&["deny 10.0.0.0/8".parse().unwrap(), "allow all".parse().unwrap()][..]);
        let guarded = ListenerPolicy { access, ..ListenerPolicy::default() };
        let listeners = Listeners::new(vec![ListenerPolicy::default(), guarded]);
        let address = |text: &str| text.parse().unwrap();
        let heard = |number, from| listeners.admits(ListenerId(number), address(from));
        assert_eq!([heard(0, "10.0.0.1"), heard(1, "10.0.0.1"), heard(1, "11.0.0.1")], [true, false, true]);
        assert!(heard(2, "10.0.0.1"), "one that is not known");
        assert!(Listeners::default().admits(ListenerId(0), address("10.0.0.1")));
    }
}
