//! How well some points stand for all others, and the points that do best.

/// A medoid must improve the fit by this share of the total weight to be worth a search of its own.
const GAIN_MIN: f32 = 0.01;
/// Exchange rounds at most; a handful suffices for so few rows.
const ROUNDS_MAX: usize = 10;

/// Similarities of the points that take part, `[points, points]`, as `(1 + cos)/2`.
pub(super) struct Fit<'m> {
    similarity: &'m [f32],
    pub(super) weights: Vec<f32>,
}

impl<'m> Fit<'m> {
    pub(super) fn new(similarity: &'m [f32], weights: Vec<f32>) -> Self {
        debug_assert_eq!(similarity.len(), weights.len() * weights.len());
        Self { similarity, weights }
    }

    fn of(&self, i: usize, j: usize) -> f32 {
        self.similarity[i * self.weights.len() + j]
    }

    fn row(&self, i: usize) -> &[f32] {
        let count = self.weights.len();
        &self.similarity[i * count..(i + 1) * count]
    }

    /// Adds the point that improves `Σ weight · best similarity` most, ties to the earlier, until `k` or too little is
    /// gained.
    ///
    /// A gain never grows as points are added (no term of its sum does), so the last one computed bounds it from above
    /// and most points need no second look (Minoux 1978).
    pub(super) fn greedy(&self, k: usize) -> Vec<usize> {
        let count = self.weights.len();
        let total: f32 = self.weights.iter().sum();
        let mut best = vec![0.0_f32; count];
        let mut bounds = vec![f32::INFINITY; count];
        let mut centers = Vec::new();
        while centers.len() < k {
            let mut most: Option<(f32, usize)> = None;
            let promising = (0..count).reduce(|a, b| if bounds[b] > bounds[a] { b } else { a });
            for center in promising.into_iter().chain(0..count) {
                let wins = |gain: f32, most: Option<(f32, usize)>| {
                    most.is_none_or(|(largest, at)| gain > largest || (gain == largest && center < at))
                };
                if wins(bounds[center], most) {
                    bounds[center] = self.gain(center, &best);
                    most = if wins(bounds[center], most) { Some((bounds[center], center)) } else { most };
                }
            }
            let Some((_, center)) = most.filter(|(gain, _)| *gain > GAIN_MIN * total) else { break };
            centers.push(center);
            best.iter_mut().zip(self.row(center)).for_each(|(best, &of)| *best = best.max(of));
        }
        centers
    }

    /// How much `center` would add to the fit.
    fn gain(&self, center: usize, best: &[f32]) -> f32 {
        let (weights, weights_rest) = self.weights.as_chunks::<8>();
        let (row, row_rest) = self.row(center).as_chunks::<8>();
        let (best, best_rest) = best.as_chunks::<8>();
        // Eight sums side by side, so that an addition need not wait for the one before.
        let mut lanes = [0.0_f32; 8];
        for ((weights, row), best) in weights.iter().zip(row).zip(best) {
            for lane in 0..8 {
                lanes[lane] += weights[lane] * (row[lane] - best[lane]).max(0.0);
            }
        }
        let rest = weights_rest.iter().zip(row_rest).zip(best_rest);
        lanes.iter().sum::<f32>()
            + rest.map(|((weight, of), best)| weight * (of - best).max(0.0)).sum::<f32>()
    }

    /// Moves centers to the middles of their groups until none moves; the centers and their groups.
    pub(super) fn exchange(&self, mut centers: Vec<usize>) -> (Vec<usize>, Vec<Vec<usize>>) {
        let mut groups = self.groups(&centers);
        // What each group was when its middle was last looked for, and around which center.
        let mut settled: Vec<(Vec<usize>, usize)> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let middle = |(at, (group, &center)): (usize, (&Vec<usize>, &usize))| match settled.get(at) {
                Some((of, around)) if of == group && *around == center => center,
                _ => self.middle(group, center),
            };
            let moved: Vec<usize> = groups.iter().zip(&centers).enumerate().map(middle).collect();
            if moved == centers {
                break;
            }
            let next = self.groups(&moved);
            settled = groups.into_iter().zip(centers).collect();
            (centers, groups) = (moved, next);
        }
        (centers, groups)
    }

    /// The points nearest to each center, ties to the earlier center.
    fn groups(&self, centers: &[usize]) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); centers.len()];
        for point in 0..self.weights.len() {
            let mut nearest = 0;
            for (group, &center) in centers.iter().enumerate() {
                if center == point || self.of(center, point) > self.of(centers[nearest], point) {
                    nearest = group;
                }
                if center == point {
                    break;
                }
            }
            if let Some(group) = groups.get_mut(nearest) {
                group.push(point);
            }
        }
        groups
    }

    /// The member with the largest weighted similarity to its group; the center, which is a member, among equals.
    fn middle(&self, group: &[usize], center: usize) -> usize {
        // All members side by side, so that an addition need not wait for the one before.
        let mut fits = vec![0.0_f32; group.len()];
        for &i in group {
            let (weight, row) = (self.weights[i], self.row(i));
            fits.iter_mut().zip(group).for_each(|(fit, &candidate)| *fit += weight * row[candidate]);
        }
        let own = group.iter().position(|&member| member == center).map_or(0.0, |at| fits[at]);
        let mut best = (own, center);
        for (&candidate, &value) in group.iter().zip(&fits) {
            if value > best.0 * (1.0 + 1e-6) {
                best = (value, candidate);
            }
        }
        best.1
    }
}
