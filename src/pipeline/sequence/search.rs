//! Orders to start from, and exchanges that improve them.

use super::cost::Instance;

/// An exchange must gain more than rounding can.
const GAIN_MIN: f64 = 1e-9;
/// Exchanges tried at most: enough to end by itself for up to about 100 tracks.
const TRIALS_MAX: usize = 1_000_000;

/// The k-th calmest track in the slot with the k-th calmest target, explored and other tracks each among their own
/// slots; `first` in slot 0. By the rearrangement inequality no order has a smaller energy error.
pub(super) fn rank_match(instance: &Instance, first: usize) -> Vec<usize> {
    let mut order = vec![first; instance.len()];
    for explored in [false, true] {
        let mut slots: Vec<usize> =
            (1..instance.len()).filter(|&slot| instance.slots[slot] == explored).collect();
        let mut rows: Vec<usize> =
            (0..instance.len()).filter(|&row| row != first && instance.explored[row] == explored).collect();
        slots.sort_by(|&a, &b| instance.target[a].total_cmp(&instance.target[b]));
        rows.sort_by(|&a, &b| instance.energy[a].total_cmp(&instance.energy[b]));
        slots.into_iter().zip(rows).for_each(|(slot, row)| order[slot] = row);
    }
    order
}

/// Fills slot by slot with the artist that has most tracks left among those far enough away, the track nearest to
/// the slot's target: keeps the gap wherever counts alone allow it.
pub(super) fn spaced(instance: &Instance, first: usize) -> Vec<usize> {
    let mut left: Vec<usize> = instance.rows_of.iter().map(Vec::len).collect();
    let mut last_slot: Vec<Option<usize>> = vec![None; left.len()];
    let mut open: Vec<usize> = (0..instance.len()).collect();
    let mut order = Vec::with_capacity(instance.len());
    for slot in 0..instance.len() {
        let fits = |row: usize| if slot == 0 { row == first } else { instance.allowed(row, slot) };
        let far = |row: usize| last_slot[instance.artist[row]].is_none_or(|last| last + instance.gap <= slot);
        let key = |&row: &usize| {
            let crowd = left[instance.artist[row]];
            (fits(row), far(row), crowd, -instance.energy_cost(row, slot))
        };
        let best = open.iter().copied().enumerate().reduce(|best, other| {
            let (a, b) = (key(&best.1), key(&other.1));
            let ahead = (b.0, b.1, b.2).cmp(&(a.0, a.1, a.2)).then(b.3.total_cmp(&a.3));
            if ahead.is_gt() { other } else { best }
        });
        let Some((place, row)) = best else { break };
        open.remove(place);
        left[instance.artist[row]] -= 1;
        last_slot[instance.artist[row]] = Some(slot);
        order.push(row);
    }
    order
}

/// Exchanges pairs of tracks, slot 0 excepted, until no exchange gains. The cost never rises.
pub(super) fn improve(instance: &Instance, order: &mut Vec<usize>) {
    let mut exchange = Exchange::new(instance, std::mem::take(order));
    exchange.run();
    *order = exchange.order;
}

/// An order under exchange. A slot is tried against all others when something it depends on has changed: its own
/// track, its neighbours, or another track of its artist.
struct Exchange<'i> {
    instance: &'i Instance,
    order: Vec<usize>,
    slot_of: Vec<usize>,
    /// What the track in each slot costs beside its energy: transitions to both neighbours, nearness of its artist.
    loss: Vec<f64>,
    changed: Vec<bool>,
}

impl<'i> Exchange<'i> {
    fn new(instance: &'i Instance, order: Vec<usize>) -> Self {
        let mut slot_of = vec![0; order.len()];
        order.iter().enumerate().for_each(|(slot, &row)| slot_of[row] = slot);
        let changed = vec![true; order.len()];
        let mut exchange = Self { instance, loss: vec![0.0; order.len()], order, slot_of, changed };
        for slot in 0..exchange.order.len() {
            exchange.loss[slot] = exchange.loss_at(slot);
        }
        exchange
    }

    fn run(&mut self) {
        let (slots, mut trials) = (self.order.len(), 0);
        while let Some(start) = (1..slots).find(|&slot| self.changed[slot]) {
            for a in start..slots {
                if !std::mem::take(&mut self.changed[a]) {
                    continue;
                }
                trials += slots;
                if trials > TRIALS_MAX {
                    return;
                }
                for b in (1..slots).filter(|&b| b != a) {
                    self.try_exchange(a, b);
                }
            }
        }
    }

    fn try_exchange(&mut self, a: usize, b: usize) {
        let instance = self.instance;
        let (row_a, row_b) = (self.order[a], self.order[b]);
        // (e_a − t_b)² + (e_b − t_a)² − (e_a − t_a)² − (e_b − t_b)², multiplied out.
        let energy = 2.0
            * (instance.energy[row_a] - instance.energy[row_b])
            * (instance.target[a] - instance.target[b]);
        // Wherever the two come to stand, each has two neighbours (one at the end), none nearer than its nearest.
        let sides = |slot: usize| if slot + 1 == self.order.len() { 1.0 } else { 2.0 };
        let before = self.loss[a] + self.loss[b];
        let least = sides(b) * instance.nearest[row_a] + sides(a) * instance.nearest[row_b];
        if energy + least >= before - GAIN_MIN || !instance.allowed(row_a, b) || !instance.allowed(row_b, a) {
            return;
        }
        self.swap(a, b);
        if energy + self.loss_at(a) + self.loss_at(b) < before - GAIN_MIN {
            self.settle(a);
            self.settle(b);
        } else {
            self.swap(a, b);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        self.slot_of[self.order[a]] = a;
        self.slot_of[self.order[b]] = b;
    }

    /// Brings up to date what depends on the track in a slot.
    fn settle(&mut self, slot: usize) {
        let neighbours = slot.saturating_sub(1)..(slot + 2).min(self.order.len());
        let artist = self.instance.artist[self.order[slot]];
        let instance = self.instance;
        let others = instance.rows_of[artist].iter().map(|&row| self.slot_of[row]);
        let touched: Vec<usize> = neighbours.chain(others).collect();
        for slot in touched {
            self.loss[slot] = self.loss_at(slot);
            self.changed[slot] = true;
        }
    }

    fn loss_at(&self, slot: usize) -> f64 {
        let row = self.order[slot];
        let before = if slot > 0 { self.instance.transition_cost(self.order[slot - 1], row) } else { 0.0 };
        let after = self.order.get(slot + 1).map_or(0.0, |&next| self.instance.transition_cost(row, next));
        before + after + self.artist_cost(slot)
    }

    /// What the other tracks of the artist cost, within reach.
    fn artist_cost(&self, slot: usize) -> f64 {
        let (instance, row) = (self.instance, self.order[slot]);
        let rows = &instance.rows_of[instance.artist[row]];
        if rows.len() < 2 {
            return 0.0;
        }
        let reach = instance.reach();
        if rows.len() <= 2 * reach {
            let distances = rows.iter().map(|&other| self.slot_of[other].abs_diff(slot));
            return distances
                .filter(|distance| (1..=reach).contains(distance))
                .map(|distance| instance.pair_cost(distance))
                .sum();
        }
        let from = slot.saturating_sub(reach);
        let near = self.order.iter().zip(0..).skip(from).take(slot + reach + 1 - from);
        near.filter(|&(&other, at)| at != slot && instance.artist[other] == instance.artist[row])
            .map(|(_, at): (_, usize)| instance.pair_cost(at.abs_diff(slot)))
            .sum()
    }
}
