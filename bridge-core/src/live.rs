//! Settings that may change while the node runs.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that whoever reloads the configuration replaces, and whoever is told of it
/// ([`Input::Reconfigured`](crate::machine::Input::Reconfigured)) reads anew. Never read on the hot path.
#[derive(Debug)]
pub struct Live<T>(Arc<Mutex<Arc<T>>>);

impl<T> Live<T> {
    /// The value as it is now.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it, for all who hold this or a clone.
    pub fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_clone_sees_what_was_set() {
        let one = Live::from(1);
        let other = one.clone();
        let before = other.get();
        one.set(2);
        assert_eq!((*before, *other.get()), (1, 2));
    }
}
