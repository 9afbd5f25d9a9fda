//! Orders to start from, and exchanges that improve them.

use super::cost::Instance;

/// An exchange must gain more than rounding can.
const GAIN_MIN: f64 = 1e-9;
/// Exchanges tried at most: enough to end by itself for up to about 100 tracks.
const TRIALS_MAX: usize = 400_000;

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
    let mut left = instance.artist_counts.clone();
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

/// Exchanges pairs of tracks, slot 0 excepted, as long as one gains. The cost never rises.
pub(super) fn improve(instance: &Instance, order: &mut [usize]) {
    let slots = order.len();
    let mut trials = 0;
    let mut gained = true;
    while gained && trials < TRIALS_MAX {
        gained = false;
        for a in 1..slots {
            for b in a + 1..slots {
                if !instance.allowed(order[a], b) || !instance.allowed(order[b], a) {
                    continue;
                }
                trials += 1;
                let before = local_cost(instance, order, a, b);
                order.swap(a, b);
                if local_cost(instance, order, a, b) < before - GAIN_MIN {
                    gained = true;
                } else {
                    order.swap(a, b);
                }
            }
        }
    }
}

/// All parts of the cost that the tracks in two slots, `a < b`, take part in. A pair of both counts twice, before and
/// after an exchange alike.
fn local_cost(instance: &Instance, order: &[usize], a: usize, b: usize) -> f64 {
    let edge = |slot: usize| match order.get(slot + 1) {
        Some(&next) => instance.transition_cost(order[slot], next),
        None => 0.0,
    };
    let mut cost = instance.energy_cost(order[a], a) + instance.energy_cost(order[b], b);
    cost += edge(a - 1) + edge(a) + edge(b);
    if b - 1 != a {
        cost += edge(b - 1);
    }
    cost + artist_cost(instance, order, a) + artist_cost(instance, order, b)
}

fn artist_cost(instance: &Instance, order: &[usize], slot: usize) -> f64 {
    let row = order[slot];
    if instance.count_of(row) < 2 {
        return 0.0;
    }
    let from = slot.saturating_sub(instance.reach());
    let to = (slot + instance.reach() + 1).min(order.len());
    order[from..to]
        .iter()
        .zip(from..)
        .filter(|&(&other, at)| at != slot && instance.artist[other] == instance.artist[row])
        .map(|(_, at)| instance.pair_cost(at.abs_diff(slot)))
        .sum()
}
