//! The prior of a listener of whom only region and age band are known (PIPELINE.md §5): the mean vector of others like
//! them.
//!
//! Means are taken over a sample of the listeners with a vector, and again only when the number of listeners or of
//! vectors has grown by a tenth: statistics of this kind are eventually consistent by declaration.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::reader::Reader;
use super::spaces::user_cf;
use crate::error::{Error, Result};
use crate::storage::user_shard::Sampled;
use crate::types::{GenerationId, Region, User};

/// Listeners whose vectors are read, at most. Cost: one look-up of a record each.
const SAMPLE_MAX: usize = 8_192;
/// Listeners a mean needs before it says more than chance.
const SUPPORT_MIN: usize = 20;

/// Whom a mean is of: either part may be open.
type Group = (Option<Region>, Option<String>);
/// Mean vectors by group.
type Means = HashMap<Group, Vec<f32>>;

/// What the means depend on: generation, and how many listeners and vectors there are, to a tenth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    generation: GenerationId,
    users: u32,
    vectors: u32,
}

/// The means of the generation asked for last.
#[derive(Default)]
pub struct PriorCache(Mutex<Option<(Key, Arc<Means>)>>);

impl Reader<'_> {
    /// The mean vector of listeners like `user`: of the same region and age band, else of the same region, else of the same
    /// age band; `None` when fewer than twenty are known of each.
    ///
    /// # Errors
    /// Damaged files.
    pub fn prior(&self, generation: GenerationId, user: &User) -> Result<Option<Vec<f32>>> {
        let groups =
            [(user.region, user.age_band.clone()), (user.region, None), (None, user.age_band.clone())];
        if groups[0] == (None, None) {
            return Ok(None);
        }
        let means = self.means(generation)?;
        let found = groups.iter().filter(|group| **group != (None, None)).find_map(|group| means.get(group));
        Ok(found.cloned())
    }

    fn means(&self, generation: GenerationId) -> Result<Arc<Means>> {
        let vectors = self.users.vector_count(&user_cf(), generation).map_err(Error::from)?;
        let key = Key { generation, users: tenths(self.users.user_count()), vectors: tenths(vectors) };
        if let Some((of, means)) = &*self.caches.priors.0.lock()
            && *of == key
        {
            return Ok(Arc::clone(means));
        }
        let sample =
            self.users.sample(&user_cf(), generation, SAMPLE_MAX, &self.missing).map_err(Error::from)?;
        let means = Arc::new(means_of(&sample));
        if !self.missing.is_empty() {
            // Not kept: the next request asks again.
            return Ok(means);
        }
        *self.caches.priors.0.lock() = Some((key, Arc::clone(&means)));
        Ok(means)
    }
}

/// A number that changes when `count` has grown or shrunk by about a tenth.
fn tenths(count: u64) -> u32 {
    ((count as f64 + 1.0).ln() / 1.1_f64.ln()).round() as u32
}

/// The means of every group with enough listeners; sums are in `f64`, in the order of the sample.
fn means_of(sample: &[Sampled]) -> Means {
    let mut sums: HashMap<Group, (usize, Vec<f64>)> = HashMap::new();
    for Sampled { region, age_band: band, vector } in sample {
        let mut groups = vec![(*region, band.clone()), (*region, None), (None, band.clone())];
        groups.retain(|group| *group != (None, None));
        groups.dedup();
        for group in groups {
            let (count, sum) = sums.entry(group).or_insert_with(|| (0, vec![0.0; vector.len()]));
            if sum.len() == vector.len() {
                *count += 1;
                sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
    }
    sums.into_iter()
        .filter(|(_, (count, _))| *count >= SUPPORT_MIN)
        .map(|(group, (count, sum))| (group, sum.into_iter().map(|x| (x / count as f64) as f32).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(code: &str) -> Option<Region> {
        code.parse().ok()
    }

    #[test]
    fn means_are_of_those_alike_and_need_support() {
        let mut sample = Vec::new();
        for number in 0..40 {
            let band = (number % 2 == 0).then(|| "18-24".to_owned());
            let vector = vec![1.0, if number % 2 == 0 { 3.0 } else { 1.0 }];
            sample.push(Sampled { region: region("SE"), age_band: band, vector });
        }
        let german = Sampled { region: region("DE"), age_band: None, vector: vec![9.0, 9.0] };
        (0..19).for_each(|_| sample.push(german.clone()));
        let means = means_of(&sample);
        let young = Some("18-24".to_owned());
        assert_eq!(means.get(&(region("SE"), young.clone())), Some(&vec![1.0, 3.0]));
        assert_eq!(means.get(&(region("SE"), None)), Some(&vec![1.0, 2.0]));
        assert_eq!(means.get(&(None, young)), Some(&vec![1.0, 3.0]));
        assert_eq!(means.get(&(region("DE"), None)), None, "nineteen are too few");
        assert!(!means.contains_key(&(None, None)));
    }

    #[test]
    fn a_tenth_more_listeners_is_a_new_count() {
        assert_eq!(tenths(1_000), tenths(1_001));
        assert_ne!(tenths(1_000), tenths(1_110));
        assert_ne!(tenths(0), tenths(1));
    }
}
