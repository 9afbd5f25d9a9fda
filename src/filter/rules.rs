//! The hard rules that many listeners share (region, explicit filter, taken down) as cached bits.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use roaring::RoaringBitmap;

use super::bits::DenseBits;
use crate::error::Result;
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::row::{EVERYWHERE, TrackRow};
use crate::storage::track_shard::segment::{PostingField, explicit_key};
use crate::types::{Region, ShardId};

/// Listeners to whom the same tracks are open.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Archive, RkyvSerialize, RkyvDeserialize,
)]
pub enum RuleClass {
    /// Every track that is not taken down: no listener, or rules switched off for evaluation.
    Live,
    /// What a listener with these settings may hear.
    Listener {
        /// Where they listen; `None` hears only what is available everywhere.
        region: Option<Region>,
        /// Whether tracks not known to be clean are hidden.
        filter_explicit: bool,
    },
}

impl RuleClass {
    /// Whether the class may hear a track; the same question the bits answer, asked of the row itself.
    #[must_use]
    pub fn allows(self, row: &TrackRow) -> bool {
        !row.deleted
            && match self {
                Self::Live => true,
                Self::Listener { region, filter_explicit } => {
                    row.track.regions.allows(region)
                        && !(filter_explicit && row.track.explicit != Some(false))
                }
            }
    }
}

/// The bits of each class of a shard, with the catalogue epoch they are true for.
type ClassBits = HashMap<(ShardId, RuleClass), (u64, Arc<DenseBits>)>;

/// The bits of each class in use, brought up to date when the catalogue changes.
#[derive(Default)]
pub struct RuleCache {
    classes: Mutex<ClassBits>,
}

impl RuleCache {
    /// What `class` may hear in this version of the shard.
    ///
    /// Cost: a map look-up while the catalogue stands still; a copy and a row read a change while it moves; one pass over
    /// the postings of the class otherwise.
    ///
    /// # Errors
    /// Damaged files.
    pub fn bits(&self, view: &TrackView, class: RuleClass) -> Result<Arc<DenseBits>> {
        let key = (view.shard, class);
        let cached = self.classes.lock().get(&key).cloned();
        let bits = match cached {
            Some((epoch, bits)) if epoch == view.epoch => return Ok(bits),
            Some((epoch, bits)) if epoch < view.epoch => match view.changed_since(epoch) {
                Some(changed) => Arc::new(patch(view, class, &bits, changed)?),
                None => Arc::new(compute(view, class)?),
            },
            _ => Arc::new(compute(view, class)?),
        };
        let mut classes = self.classes.lock();
        let newest = classes.entry(key).or_insert_with(|| (view.epoch, Arc::clone(&bits)));
        if newest.0 < view.epoch {
            *newest = (view.epoch, Arc::clone(&bits));
        }
        Ok(bits)
    }

    /// What `class` may hear in a version of a shard that is elsewhere: the shard, and its catalogue's epoch. `fetch` asks for it
    /// when it is not known; when it cannot be had nothing may be heard, and that is not kept.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub fn fetched(
        &self,
        (shard, epoch): (ShardId, u64),
        class: RuleClass,
        ordinals: u32,
        fetch: impl FnOnce() -> Result<Option<RoaringBitmap>>,
    ) -> Result<Arc<DenseBits>> {
        if let Some((known, bits)) = self.classes.lock().get(&(shard, class))
            && *known == epoch
        {
            return Ok(Arc::clone(bits));
        }
        let Some(open) = fetch()? else { return Ok(Arc::default()) };
        let bits = Arc::new(DenseBits::from_roaring(&open, ordinals));
        self.classes.lock().insert((shard, class), (epoch, Arc::clone(&bits)));
        Ok(bits)
    }
}

fn patch(
    view: &TrackView,
    class: RuleClass,
    bits: &DenseBits,
    changed: impl Iterator<Item = u32>,
) -> Result<DenseBits> {
    let mut bits = bits.clone();
    for ordinal in changed {
        bits.set(ordinal, class.allows(&*view.row(ordinal)?));
    }
    Ok(bits)
}

fn compute(view: &TrackView, class: RuleClass) -> Result<DenseBits> {
    let mut open = RoaringBitmap::new();
    let posted = |key: u64, out: &mut RoaringBitmap| -> Result<()> {
        *out |= view.postings(PostingField::Region, key)?;
        Ok(())
    };
    match class {
        RuleClass::Live => {
            for (ordinal, hot) in (0_u32..).zip(view.all_hot()) {
                if hot.live {
                    open.insert(ordinal);
                }
            }
        }
        RuleClass::Listener { region, filter_explicit } => {
            posted(EVERYWHERE, &mut open)?;
            if let Some(region) = region {
                posted(u64::from(region.number()), &mut open)?;
            }
            if filter_explicit {
                open &= view.postings(PostingField::Explicit, explicit_key(Some(false)))?;
            }
        }
    }
    Ok(DenseBits::from_roaring(&open, view.ordinals()))
}
