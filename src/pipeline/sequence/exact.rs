//! The best order of a few tracks, by branch and bound.

use super::cost::Instance;

/// Sets up to this size are ordered exactly: at most 8! orders behind a fixed first track.
pub(super) const TRACKS_MAX: usize = 9;

/// The cheapest order with the same first track, `start` itself when nothing is cheaper. Orders that break the gap
/// are not looked at.
pub(super) fn search(instance: &Instance, start: Vec<usize>) -> Vec<usize> {
    let slots = start.len();
    // The least energy error of slots from each on: no rest of an order can cost less.
    let mut rest = vec![0.0; slots + 1];
    for slot in (0..slots).rev() {
        let least = (0..slots)
            .filter(|&row| instance.allowed(row, slot))
            .map(|row| instance.energy_cost(row, slot))
            .fold(f64::INFINITY, f64::min);
        rest[slot] = rest[slot + 1] + if least.is_finite() { least } else { 0.0 };
    }
    let first = start[0];
    let mut search = Search {
        instance,
        rest,
        best_cost: instance.cost(&start),
        best: start,
        order: vec![first],
        used: (0..slots).map(|row| row == first).collect(),
    };
    search.extend(instance.energy_cost(first, 0));
    search.best
}

struct Search<'i> {
    instance: &'i Instance,
    rest: Vec<f64>,
    best_cost: f64,
    best: Vec<usize>,
    order: Vec<usize>,
    used: Vec<bool>,
}

impl Search<'_> {
    fn extend(&mut self, cost: f64) {
        let slot = self.order.len();
        if slot == self.used.len() {
            if cost < self.best_cost - 1e-12 {
                self.best_cost = cost;
                self.best.clone_from(&self.order);
            }
            return;
        }
        for row in 0..self.used.len() {
            if self.used[row] || !self.instance.allowed(row, slot) {
                continue;
            }
            let Some(step) = self.step(row, slot) else { continue };
            if cost + step + self.rest[slot + 1] >= self.best_cost {
                continue;
            }
            self.used[row] = true;
            self.order.push(row);
            self.extend(cost + step);
            self.order.pop();
            self.used[row] = false;
        }
    }

    /// What a row adds as the next of the order; `None` when it breaks the gap.
    fn step(&self, row: usize, slot: usize) -> Option<f64> {
        let instance = self.instance;
        let mut cost = instance.energy_cost(row, slot);
        cost += instance.transition_cost(self.order[slot - 1], row);
        for (distance, &other) in (1..=instance.reach()).zip(self.order.iter().rev()) {
            if instance.artist[other] == instance.artist[row] {
                if distance < instance.gap {
                    return None;
                }
                cost += instance.pair_cost(distance);
            }
        }
        Some(cost)
    }
}
