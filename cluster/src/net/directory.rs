//! Who is where: the address of each store, and the stores that are no longer listened to.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;

use crate::ids::StoreId;

/// Addresses by store. Filled from the cluster's map, and before that from what the new node was told.
#[derive(Debug, Default)]
pub(crate) struct Directory(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    addresses: BTreeMap<StoreId, String>,
    removed: BTreeSet<StoreId>,
}

impl Directory {
    /// Returns `HOST:PORT` of a store's cluster port.
    pub fn address(&self, store: StoreId) -> Option<String> {
        self.0.read().addresses.get(&store).cloned()
    }

    /// Whether the address of a store is known.
    pub fn knows(&self, store: StoreId) -> bool {
        self.0.read().addresses.contains_key(&store)
    }

    /// Whether the store was removed from the cluster, for ever.
    pub fn is_removed(&self, store: StoreId) -> bool {
        self.0.read().removed.contains(&store)
    }

    /// A known store is reached at another address, by its own word; until the next [`Directory::replace`].
    pub fn moved(&self, store: StoreId, address: &str) {
        if let Some(known) = self.0.write().addresses.get_mut(&store) {
            address.clone_into(known);
        }
    }

    /// Takes over all that is known.
    pub fn replace(&self, addresses: BTreeMap<StoreId, String>, removed: BTreeSet<StoreId>) {
        *self.0.write() = Entries { addresses, removed };
    }
}
