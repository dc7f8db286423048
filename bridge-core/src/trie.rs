//! Subscriptions by topic filter: which values does a topic reach?
//!
//! A filter is a path of levels in a tree; each node says which values subscribe to the path that ends there. Nodes lie
//! in one slab and name each other by index, and one hash table, keyed by (parent, level), serves all nodes: a node
//! without a map of its own is small, and nothing here recurses, so that the 65,536 levels which a filter of 65,535
//! slashes has are a long walk, but never a deep stack.

mod values;

use foldhash::{SharedSeed, quality::FoldHasher};
use hashbrown::HashTable;
use std::hash::Hasher;
use std::{fmt, hash::Hash, num::NonZeroU32};
use values::Members;

/// Topic filters and the values subscribed to them.
///
/// Filters are given without `$share/<group>/`, and are taken as valid (MQTT 5 §4.7): a misplaced wildcard does no harm
/// but matches nothing. The order of visits depends on the order of calls alone, never on the hash seed.
///
/// Cost: about 60 bytes per node and its level's text per level that no other filter shares, so that 100,000 filters
/// `dev/<id>/cmd` take about 190 bytes each (a test holds this below 220). Freed nodes are used again; the slab does not
/// shrink. Nothing bounds the number of filters or levels here: the caller limits both.
pub struct SubscriptionTrie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    /// Every node but the root and the wildcards, found by parent and level.
    children: HashTable<u32>,
    seed: Seed,
    len: usize,
}

struct Node<V> {
    /// Empty for the root, a wildcard and a free node.
    level: Box<str>,
    parent: u32,
    /// Nodes below, the wildcards among them.
    children: u32,
    /// The child `+`. The root is nobody's child, so that 0 can stand for none.
    plus: Option<NonZeroU32>,
    /// The child `#`.
    hash: Option<NonZeroU32>,
    members: Members<V>,
}

/// A whole level of a filter.
#[derive(Clone, Copy)]
enum Level<'a> {
    Text(&'a str),
    Plus,
    Hash,
}

/// Where the walk over the tree goes on.
enum Walk {
    /// Into a node whose path has just matched.
    Enter,
    /// Past the child with the same text, to `+`.
    Plus,
    /// Past both, to `#`.
    Hash,
    /// Back to the parent.
    Leave,
}

const ROOT: u32 = 0;

impl<V: Copy + Eq + Hash> SubscriptionTrie<V> {
    /// An empty trie. Devices choose topic levels: `seed` must be one they can't know, or they could make all levels
    /// meet in one place of the hash table.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let root = Node::new(Box::default(), ROOT);
        Self { nodes: vec![root], free: Vec::new(), children: HashTable::new(), seed: Seed::new(seed), len: 0 }
    }

    /// How many (filter, value) pairs it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Subscribes `value` to `filter`; false if it already was, or if there are 2³² nodes.
    pub fn insert(&mut self, filter: &str, value: V) -> bool {
        let mut node = ROOT;
        for level in levels(filter) {
            let Some(child) = self.child(node, level).or_else(|| self.add_child(node, level)) else {
                self.prune(node);
                return false;
            };
            node = child;
        }
        let added = self.nodes.get_mut(node as usize).is_some_and(|node| node.members.insert(value, &self.seed));
        self.len += usize::from(added);
        added
    }

    /// Ends the subscription of `value` to `filter` and frees what it alone needed; false if there was none.
    pub fn remove(&mut self, filter: &str, value: V) -> bool {
        let Some(node) = self.find(filter) else { return false };
        let removed = self.nodes.get_mut(node as usize).is_some_and(|node| node.members.remove(value, &self.seed));
        if removed {
            self.len -= 1;
            self.prune(node);
        }
        removed
    }

    /// The values subscribed to exactly this `filter`, in the order of their insertion.
    pub fn values(&self, filter: &str) -> impl Iterator<Item = V> {
        self.find(filter).and_then(|node| self.node(node)).into_iter().flat_map(|node| node.members.iter())
    }

    /// Visits each value whose filter matches `topic`, once for each such filter (MQTT 5 §4.7).
    ///
    /// At each level the child with the level's text comes first, then `+`, then `#`; the values of one filter come in
    /// the order of their insertion. Allocates nothing. The work is one table look-up for each node whose path matches
    /// a beginning of `topic` (or all of it), and no node is seen twice; so it is bounded by the filters that are there
    /// to be matched, and for a topic of n levels by 2ⁿ.
    pub fn matches(&self, topic: &str, mut visit: impl FnMut(V)) {
        // A topic that begins with `$` is none of a leading wildcard's business (MQTT 5 §4.7.2).
        let reserved = topic.starts_with('$');
        // One past the last level: its end, and one more for the `/` that is not there.
        let end = topic.len() + 1;
        let (mut at, mut next, mut walk) = (ROOT, 0, Walk::Enter);
        while let Some(node) = self.node(at) {
            let wildcards = !(reserved && at == ROOT);
            walk = match walk {
                Walk::Enter if next == end => {
                    node.members.iter().for_each(&mut visit);
                    Walk::Hash // "a/#" matches "a" too (§4.7.1.2)
                }
                Walk::Enter => {
                    let level = level_at(topic, next);
                    match self.text_child(at, level) {
                        Some(child) => {
                            (at, next) = (child, next + level.len() + 1);
                            Walk::Enter
                        }
                        None => Walk::Plus,
                    }
                }
                Walk::Plus => match node.plus.filter(|_| wildcards) {
                    Some(child) => {
                        (at, next) = (child.get(), next + level_at(topic, next).len() + 1);
                        Walk::Enter
                    }
                    None => Walk::Hash,
                },
                Walk::Hash => {
                    let rest = node.hash.filter(|_| wildcards).and_then(|child| self.node(child.get()));
                    rest.into_iter().flat_map(|node| node.members.iter()).for_each(&mut visit);
                    Walk::Leave
                }
                Walk::Leave if at == ROOT => return,
                Walk::Leave => {
                    let from = at;
                    (at, next) = (node.parent, level_before(topic, next));
                    let was_plus = self.node(at).and_then(|parent| parent.plus).is_some_and(|plus| plus.get() == from);
                    if was_plus { Walk::Hash } else { Walk::Plus }
                }
            };
        }
    }

    fn node(&self, index: u32) -> Option<&Node<V>> {
        self.nodes.get(index as usize)
    }

    fn find(&self, filter: &str) -> Option<u32> {
        levels(filter).try_fold(ROOT, |node, level| self.child(node, level))
    }

    fn child(&self, parent: u32, level: Level<'_>) -> Option<u32> {
        match level {
            Level::Text(text) => self.text_child(parent, text),
            Level::Plus => self.node(parent)?.plus.map(NonZeroU32::get),
            Level::Hash => self.node(parent)?.hash.map(NonZeroU32::get),
        }
    }

    fn text_child(&self, parent: u32, level: &str) -> Option<u32> {
        let is_it = |&index: &u32| self.node(index).is_some_and(|node| node.parent == parent && *node.level == *level);
        self.children.find(self.seed.edge(parent, level), is_it).copied()
    }

    fn add_child(&mut self, parent: u32, level: Level<'_>) -> Option<u32> {
        let text = if let Level::Text(text) = level { text } else { "" };
        let index = self.add_node(Node::new(text.into(), parent))?;
        let Self { nodes, children, seed, .. } = self;
        if let Level::Text(text) = level {
            children.insert_unique(seed.edge(parent, text), index, |&index| {
                nodes.get(index as usize).map_or(0, |node| seed.edge(node.parent, &node.level))
            });
        }
        let parent = nodes.get_mut(parent as usize)?;
        parent.children += 1;
        match level {
            Level::Text(_) => {}
            Level::Plus => parent.plus = NonZeroU32::new(index),
            Level::Hash => parent.hash = NonZeroU32::new(index),
        }
        Some(index)
    }

    fn add_node(&mut self, node: Node<V>) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            *self.nodes.get_mut(index as usize)? = node;
            return Some(index);
        }
        let index = u32::try_from(self.nodes.len()).ok()?;
        if self.nodes.len() == self.nodes.capacity() {
            // Growth by a quarter: doubling would leave up to half of a large slab unused.
            self.nodes.reserve_exact(self.nodes.len() / 4 + 4);
        }
        self.nodes.push(node);
        Some(index)
    }

    /// Frees `index` and the nodes above it, up to one that something still needs.
    fn prune(&mut self, mut index: u32) {
        while index != ROOT {
            let Some(node) = self.nodes.get_mut(index as usize) else { return };
            if node.children > 0 || !node.members.is_empty() {
                return;
            }
            let (parent, level) = (node.parent, std::mem::take(&mut node.level));
            if let Ok(edge) = self.children.find_entry(self.seed.edge(parent, &level), |&child| child == index) {
                edge.remove();
            }
            self.free.push(index);
            let Some(above) = self.nodes.get_mut(parent as usize) else { return };
            above.children -= 1;
            above.plus = above.plus.filter(|child| child.get() != index);
            above.hash = above.hash.filter(|child| child.get() != index);
            index = parent;
        }
    }
}

impl<V> Node<V> {
    const fn new(level: Box<str>, parent: u32) -> Self {
        Self { level, parent, children: 0, plus: None, hash: None, members: Members::None }
    }
}

impl<V> fmt::Debug for SubscriptionTrie<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither filters nor seed: the one is long, the other secret.
        let nodes = self.nodes.len() - self.free.len();
        f.debug_struct("SubscriptionTrie").field("len", &self.len).field("nodes", &nodes).finish_non_exhaustive()
    }
}

fn levels(filter: &str) -> impl Iterator<Item = Level<'_>> {
    filter.split('/').map(|level| match level {
        "+" => Level::Plus,
        "#" => Level::Hash,
        text => Level::Text(text),
    })
}

/// The level of `topic` that starts at byte `start`.
fn level_at(topic: &str, start: usize) -> &str {
    let rest = topic.get(start..).unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

/// Where the level starts that ends one byte before `next`.
fn level_before(topic: &str, next: usize) -> usize {
    let before = topic.get(..next.saturating_sub(1)).unwrap_or_default();
    before.rfind('/').map_or(0, |slash| slash + 1)
}

/// Keys the hash of levels and values.
struct Seed {
    shared: SharedSeed,
    own: u64,
}

impl Seed {
    const fn new(seed: u64) -> Self {
        Self { shared: SharedSeed::from_u64(seed), own: seed }
    }

    fn edge(&self, parent: u32, level: &str) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.own, &self.shared);
        hasher.write_u32(parent);
        hasher.write(level.as_bytes());
        hasher.finish()
    }

    fn value(&self, value: &impl Hash) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.own, &self.shared);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests;
