//! Answering questions about sets of tracks.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::answer::Answering;
use super::plain::bitmap;
use super::question::AllowedQuestion;
use super::sets::versions_of;
use crate::error::Result;
use crate::filter::{DenseBits, Exclusions, RuleClass, TrackFilter, compile};
use crate::pipeline::retrieve::AllowedTracks;
use crate::storage::track_shard::TrackView;
use crate::types::Deadline;

/// Tracks whose words are looked at between two looks at the deadline.
const WORDS_CHECKED: usize = 4_096;

impl Answering<'_> {
    pub(super) fn versions(&self, own: &[u8], recordings: &[u64]) -> Result<RoaringBitmap> {
        Ok(versions_of(self.view, &self.set(own)?, recordings))
    }

    /// What a class may hear and a filter lets pass.
    pub(super) fn allowed_set(&self, class: RuleClass, filter: &TrackFilter) -> Result<RoaringBitmap> {
        Ok(self.base(class, filter)?.iter().collect())
    }

    /// The tracks that a question says may be shown.
    pub(super) fn allowed(&self, asked: &AllowedQuestion) -> Result<AllowedTracks> {
        let mut base = self.base(asked.class, &asked.filter)?;
        let universe = self.view.ordinals();
        if let Some(only) = &asked.only {
            let mut bits = DenseBits::clone(&base);
            bits.intersect(&DenseBits::from_roaring(&self.set(only)?, universe));
            base = Arc::new(bits);
        }
        Ok(AllowedTracks::new(base, &[&Exclusions::new(self.set(&asked.left_out)?, universe)]))
    }

    pub(super) fn words(&self, asked: &AllowedQuestion, text: &str) -> Result<RoaringBitmap> {
        with_words(self.view, self.allowed(asked)?.iter(), text, self.deadline)
    }

    fn base(&self, class: RuleClass, filter: &TrackFilter) -> Result<Arc<DenseBits>> {
        compile(self.view, &self.caches.rules, class, filter, &RoaringBitmap::new())
    }

    fn set(&self, bytes: &[u8]) -> Result<RoaringBitmap> {
        bitmap(bytes, self.view.ordinals())
    }
}

/// Those of some tracks whose title and artist names hold all words, whatever their case.
///
/// # Errors
/// `Timeout`; damaged files.
pub(super) fn with_words(
    view: &TrackView,
    tracks: impl Iterator<Item = u32>,
    text: &str,
    deadline: Deadline,
) -> Result<RoaringBitmap> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let mut found = RoaringBitmap::new();
    for (count, ordinal) in tracks.enumerate() {
        if count % WORDS_CHECKED == 0 {
            deadline.check()?;
        }
        let row = view.row(ordinal)?;
        let mut line = row.track.title.to_lowercase();
        for artist in &row.track.artists {
            line.push(' ');
            line.push_str(&artist.name.to_lowercase());
        }
        if words.iter().all(|word| line.contains(word.as_str())) {
            found.insert(ordinal);
        }
    }
    Ok(found)
}
