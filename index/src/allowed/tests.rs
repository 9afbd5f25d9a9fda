//! Rows found in any way are those found by asking for each.

use super::*;
use crate::SplitMix64;

#[test]
fn rows_found_through_places_are_those_found_by_asking_each() {
    let seed = 3;
    let mut random = SplitMix64::new(seed);
    for (rows, gap) in [(1000u32, 1), (777, 2)] {
        let mut ordinals: Vec<u32> = (0..rows).map(|at| gap * at).collect();
        for i in (1..rows as usize).rev() {
            ordinals.swap(i, random.below(i as u64 + 1) as usize);
        }
        // Ordinals without a row have a place beyond the rows, here the first.
        let mut places = vec![rows; (gap * (rows - 1) + 1) as usize];
        (0..).zip(&ordinals).for_each(|(offset, &ordinal)| places[ordinal as usize] = offset);
        let mut bits = |words: usize| -> Vec<u64> {
            (0..words).map(|_| random.next_u64() & random.next_u64()).collect()
        };
        // Longer and shorter than the ordinals.
        let (base, live) = (bits(if gap == 1 { 40 } else { 9 }), bits(16));
        let heard: RoaringBitmap = (0..500).filter(|ordinal| ordinal % 3 == 0).collect();
        for by in [
            Allowed::all().with_ordinals(&ordinals).with_base(&base),
            Allowed::all().with_ordinals(&ordinals).with_base(&base).with_live(&live),
            Allowed::all().with_ordinals(&ordinals).with_base(&base).with_excluded(&heard),
        ] {
            let all = |allowed: &Allowed<'_>| {
                let mut found = Vec::new();
                allowed.for_each_stretch(rows as usize, |offsets| found.extend_from_slice(offsets));
                found.sort_unstable();
                found
            };
            let with = by.clone().with_places(&places);
            for allowed in [&by, &with] {
                let words = (rows as usize).div_ceil(64);
                let mut marks = vec![0; words];
                allowed.mark_base(Kernels::get(), rows as usize, &mut marks);
                for (at, mark) in marks.into_iter().enumerate() {
                    let row = |bit: u32| 64 * at as u32 + bit;
                    let expected = (0..64)
                        .filter(|&bit| row(bit) < rows && by.contains(row(bit)))
                        .fold(0u64, |word, bit| word | 1 << bit);
                    assert_eq!(allowed.word(at, rows as usize), expected, "seed {seed}");
                    if allowed.translated_base().is_some() {
                        assert_eq!(allowed.sift_word(mark, at, rows as usize), expected, "seed {seed}");
                    }
                }
                let mut some: Vec<u32> = (0..rows + 9).collect();
                let kept = allowed.mark_rejected(&mut some, 1 << 31);
                let ours = |row: u32| row | if by.contains(row) { 0 } else { 1 << 31 };
                assert!(some.into_iter().eq((0..rows + 9).map(ours)), "seed {seed}");
                assert_eq!(kept, (0..rows).filter(|&offset| by.contains(offset)).count());
            }
            let mut few = Vec::new();
            assert!(with.list_few(rows as usize, (5, rows as usize), &mut few));
            few.sort_unstable();
            assert!(few.iter().copied().eq((0..rows).filter(|&offset| by.contains(offset))), "seed {seed}");
            assert!(!with.list_few(rows as usize, (5, 5), &mut few), "there are more than five");
            let expected: Vec<u32> = (0..rows).filter(|&offset| by.contains(offset)).collect();
            assert!(expected.len() > 10, "seed {seed}");
            assert_eq!(all(&with), expected, "seed {seed}");
            assert_eq!(all(&by), expected);
            assert_eq!(with.estimated_count(rows as usize), expected.len());
        }
    }
}
