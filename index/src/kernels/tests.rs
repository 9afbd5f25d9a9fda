//! Every instruction set against the scalar twin: equal bits for all lengths.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{BATCH, BlockScale, InstructionSet, Kernels, SignScale, TABLE_MAX, as_raw};
use crate::SplitMix64;

fn tables() -> Vec<Kernels> {
    [InstructionSet::Avx2, InstructionSet::Avx512].into_iter().filter_map(Kernels::of).collect()
}

fn floats(random: &mut SplitMix64, n: usize) -> Vec<f32> {
    (0..n).map(|_| (random.normal() * 10f64.powf(random.uniform() * 4.0 - 2.0)) as f32).collect()
}

fn bytes(random: &mut SplitMix64, n: usize) -> Vec<u8> {
    (0..n).map(|_| random.next_u64() as u8).collect()
}

#[test]
fn float_kernels_give_the_same_bits_for_every_length() {
    let scalar = Kernels::of(InstructionSet::Scalar).unwrap();
    let mut random = SplitMix64::new(3);
    for n in 0..=257 {
        let (a, b) = (floats(&mut random, n), floats(&mut random, n));
        let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        let size: f64 = a.iter().zip(&b).map(|(x, y)| f64::from((x * y).abs())).sum();
        assert!((f64::from(scalar.dot_f32(&a, &b)) - exact).abs() <= 1e-6 * size, "n={n}");
        for table in tables() {
            assert_eq!(table.dot_f32(&a, &b).to_bits(), scalar.dot_f32(&a, &b).to_bits(), "{table:?} n={n}");
            assert_eq!(table.l2_f32(&a, &b).to_bits(), scalar.l2_f32(&a, &b).to_bits(), "{table:?} n={n}");
            let (dot, square) = table.dot_and_square(&a, &b);
            let both = (scalar.dot_f32(&a, &b).to_bits(), scalar.dot_f32(&b, &b).to_bits());
            assert_eq!((dot.to_bits(), square.to_bits()), both, "{table:?} n={n}");
        }
    }
}

#[test]
fn unaligned_slices_give_the_same_bits() {
    let scalar = Kernels::of(InstructionSet::Scalar).unwrap();
    let mut random = SplitMix64::new(4);
    let (a, b) = (floats(&mut random, 300), floats(&mut random, 300));
    for start in 0..17 {
        for table in tables() {
            let (a, b) = (&a[start..start + 200], &b[17 - start..217 - start]);
            assert_eq!(table.dot_f32(a, b).to_bits(), scalar.dot_f32(a, b).to_bits());
        }
    }
}

#[test]
fn queries_are_made_ready_to_the_same_bits() {
    let scalar = Kernels::of(InstructionSet::Scalar).unwrap();
    let mut random = SplitMix64::new(5);
    for n in [64, 128, 192, 256, 1024, 4096] {
        let numbers = if n == 192 { vec![0.0; n] } else { floats(&mut random, n) };
        let (mut rounded, mut sums) = (vec![0i8; n], vec![0u8; 4 * n]);
        let largest = scalar.round_bytes(&numbers, &mut rounded);
        let largest_sum = scalar.sign_table(&numbers, &mut sums);
        assert_eq!(largest, numbers.iter().fold(0.0f32, |m, x| m.max(x.abs())));
        assert!(n == 192 || rounded.iter().any(|byte| byte.unsigned_abs() == 127));
        for (at, entry) in sums.iter().enumerate() {
            let four = &numbers[at / 16 * 4..at / 16 * 4 + 4];
            let sum: f32 = (0..4).map(|i| if ((at % 16) >> i) & 1 == 1 { four[i] } else { -four[i] }).sum();
            let step = 2.0 * largest_sum / f32::from(TABLE_MAX);
            assert!((f32::from(*entry) * step - largest_sum - sum).abs() <= 0.51 * step, "n={n} at={at}");
        }
        for table in tables() {
            let (mut bytes, mut entries) = (vec![0i8; n], vec![0u8; 4 * n]);
            assert_eq!(table.round_bytes(&numbers, &mut bytes).to_bits(), largest.to_bits());
            assert_eq!(table.sign_table(&numbers, &mut entries).to_bits(), largest_sum.to_bits());
            assert!(bytes == rounded && entries == sums, "{table:?} n={n}");
            if n.is_power_of_two() {
                let (mut one, mut other) = (numbers.clone(), numbers.clone());
                scalar.hadamard(&mut one);
                table.hadamard(&mut other);
                assert!(one.iter().zip(&other).all(|(x, y)| x.to_bits() == y.to_bits()), "{table:?} n={n}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nibble_products_are_exact(blocks in 0usize..=9, seed: u64) {
        let mut random = SplitMix64::new(seed);
        let code = bytes(&mut random, 32 * blocks);
        let low: Vec<i8> = bytes(&mut random, 32 * blocks).into_iter().map(|b| b as i8).collect();
        let high: Vec<i8> = bytes(&mut random, 32 * blocks).into_iter().map(|b| b as i8).collect();
        let expected = Kernels::of(InstructionSet::Scalar).unwrap().dot_u4(&low, &high, &code);
        for table in tables() {
            prop_assert_eq!(table.dot_u4(&low, &high, &code), expected);
            if blocks > 0 {
                let mut each = [0; 3];
                table.dot_u4_each(&low, &high, &[&code[..], &code, &code].concat(), &mut each);
                prop_assert_eq!(each, [expected; 3]);
            }
        }
    }

    #[test]
    fn byte_products_are_exact(blocks in 0usize..=64, seed: u64, extreme: bool) {
        let mut random = SplitMix64::new(seed);
        let mut draw = || bytes(&mut random, 64 * blocks).into_iter().map(|b| if extreme { i8::MIN } else { b as i8 }).collect::<Vec<i8>>();
        let (a, b) = (draw(), draw());
        let expected: i64 = a.iter().zip(&b).map(|(x, y)| i64::from(*x) * i64::from(*y)).sum();
        for table in tables().into_iter().chain(Kernels::of(InstructionSet::Scalar)) {
            prop_assert_eq!(i64::from(table.dot_i8(&a, &b)), expected);
            let (sum, zero) = (a.iter().map(|&x| i32::from(x)).sum(), vec![0; a.len()]);
            let four = table.dot_i8_four(&a, sum, [as_raw(&b), &zero, as_raw(&a), as_raw(&b)]);
            let square: i64 = a.iter().map(|x| i64::from(*x).pow(2)).sum();
            prop_assert_eq!(four.map(i64::from), [expected, 0, square, expected]);
        }
    }

    #[test]
    fn records_are_scored_to_the_same_bits_and_as_their_definition_says(words in prop_oneof![1usize..=8, 1usize..=64], count in 0usize..20, seed: u64) {
        let mut random = SplitMix64::new(seed);
        let query: Vec<i64> = (0..64 * words).map(|_| random.below(16) as i64 - 8).collect();
        let plane = |bit: usize, word: usize| {
            (0..64).fold(0u64, |bits, at| bits | ((query[64 * word + at] as u64 >> bit) & 1) << at)
        };
        let planes: Vec<u64> = (0..4 * words).map(|at| plane(at / words, at % words)).collect();
        let records: Vec<u8> = (0..count)
            .flat_map(|_| {
                let head = [random.normal() as f32, random.normal() as f32];
                let head: Vec<u8> = head.iter().flat_map(|x| x.to_le_bytes()).collect();
                [head, bytes(&mut random, 8 * words)].concat()
            })
            .collect();
        let scale = SignScale { step: 0.25, offset: -1.5, base: 0.3 };
        let mut expected = vec![0.0; count];
        Kernels::of(InstructionSet::Scalar).unwrap().sign_scores(&planes, &records, &scale, &mut expected);
        for (score, record) in expected.iter().zip(records.chunks(8 + 8 * words)) {
            let number = |at: usize| f32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            let set = |at: &usize| record[8 + at / 8] >> (at % 8) & 1 == 1;
            let sum: i64 = (0..64 * words).filter(set).map(|at| query[at]).sum();
            prop_assert_eq!(*score, (sum as f32 * 0.25 - 1.5) * number(0) + (number(4) + 0.3));
        }
        for table in tables() {
            let mut got = vec![0.0; count];
            table.sign_scores(&planes, &records, &scale, &mut got);
            prop_assert!(got.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits()));
        }
    }

    #[test]
    fn bits_are_counted_and_moved_as_one_by_one(words in 0usize..90, density in 0u32..5, places in 0usize..6000, seed: u64) {
        let mut random = SplitMix64::new(seed);
        let word = |random: &mut SplitMix64| match density {
            0 => 0,
            4 => u64::MAX,
            more => (1..more).fold(random.next_u64(), |word, _| word & random.next_u64() & random.next_u64()),
        };
        let set: Vec<u64> = (0..words).map(|_| word(&mut random)).collect();
        let listed: Vec<u32> = (0..64 * words as u32).filter(|bit| set[(bit / 64) as usize] >> (bit % 64) & 1 == 1).collect();
        // Some lead nowhere.
        let places: Vec<u32> = (0..places).map(|_| if random.below(9) == 0 { u32::MAX } else { random.below(5000) as u32 }).collect();
        let mut marked = vec![0u64; 70];
        for place in listed.iter().filter_map(|&bit| places.get(bit as usize)) {
            if let Some(word) = marked.get_mut(*place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        }
        for table in tables().into_iter().chain(Kernels::of(InstructionSet::Scalar)) {
            let mut marks = vec![0u64; 70];
            table.mark_places(&set, &places, &mut marks);
            prop_assert_eq!(table.count_bits(&set), listed.len());
            prop_assert_eq!(&marks, &marked);
        }
    }

    #[test]
    fn blocks_are_scanned_to_the_same_bits(quarters in 1usize..=256, seed: u64, full: bool) {
        let mut random = SplitMix64::new(seed);
        let codes = bytes(&mut random, 64 * quarters);
        // The largest tables drive the sums to their largest values.
        let entry = |byte: u8| if full { TABLE_MAX } else { byte % (TABLE_MAX + 1) };
        let table_bytes: Vec<u8> = bytes(&mut random, 64 * quarters).into_iter().map(entry).collect();
        let factors: Vec<u8> = (0..2 * BATCH).flat_map(|_| half::f16::from_f64(random.normal()).to_le_bytes()).collect();
        let scale = BlockScale { step: 0.01, offset: -1.5, base: 0.3, factor_scale: 2.5 };
        let mut expected = [0.0; BATCH];
        let scalar = Kernels::of(InstructionSet::Scalar).unwrap();
        let mask = scalar.scan_block(&codes, &table_bytes, &factors, &scale, 0.2, &mut expected);
        for table in tables() {
            let mut got = [0.0; BATCH];
            prop_assert_eq!(table.scan_block(&codes, &table_bytes, &factors, &scale, 0.2, &mut got), mask);
            prop_assert_eq!(got.map(f32::to_bits), expected.map(f32::to_bits));
        }
    }
}
