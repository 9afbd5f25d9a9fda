//! Tests of the impression token.

use proptest::prelude::*;

use super::*;
use crate::pipeline::facts::samples::track_ref;

const KEY: [u8; 32] = [7; 32];

fn impression(slots: u32) -> Impression {
    let slot = |row: u32| ImpressionSlot {
        track: track_ref(row * 40_000),
        source: Source::ALL.get(row as usize % 5).copied(),
        exploration: (row % 3 == 2).then_some(SlotExploration {
            genre_cluster: 300,
            propensity: 1.0 / f64::from(row + 1),
            draw: (row / 3) as u16,
            open: 60 - (row / 3) as u16 % 60,
        }),
    };
    Impression {
        user_key: u64::MAX - 3,
        request_id: "7f3a-ü".to_owned(),
        recipe: "discover_weekly@1".to_owned(),
        experiment: None,
        surface: "discover_weekly".to_owned(),
        generation: Some(GenerationId(3)),
        as_of: Timestamp(-5),
        seed: 42,
        candidates_hash: 99,
        slots: (0..slots).map(slot).collect(),
    }
}

#[test]
fn a_token_comes_back_whole_and_is_compact() {
    for slots in [0, 1, 30, 1_000] {
        let impression = impression(slots);
        let token = impression.encode(&KEY);
        assert_eq!(Impression::decode(&token, &KEY), Ok(impression));
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
    let length = impression(30).encode(&KEY).len();
    assert!(length < 500, "30 slots take {length} characters");
    let mut none = impression(1);
    none.generation = None;
    assert_eq!(Impression::decode(&none.encode(&KEY), &KEY), Ok(none));
}

#[test]
fn a_list_of_an_experiment_says_which_and_others_are_written_as_before() {
    let assignment = Assignment { experiment: "arc@12".to_owned(), arm: "new".to_owned() };
    let tried = Impression { experiment: Some(assignment), ..impression(3) };
    let token = tried.encode(&KEY);
    assert_eq!(Impression::decode(&token, &KEY), Ok(tried));
    assert!(token.starts_with("A_") && impression(3).encode(&KEY).starts_with("Av"), "versions 3 and 2");
    for length in 0..token.len() {
        assert!(Impression::decode(&token[..length], &KEY).is_err(), "cut at {length}");
    }
}

#[test]
fn the_first_format_stays_readable() {
    assert_ne!(impression(3).encode(&KEY), FIRST_FORMAT, "written in the second format");
    let mut first = impression(3);
    first.slots.iter_mut().filter_map(|slot| slot.exploration.as_mut()).for_each(|slot| slot.open = 0);
    assert_eq!(Impression::decode(FIRST_FORMAT, &KEY), Ok(first));
}

const FIRST_FORMAT: &str = "Afz_________-_________8qAAAAAAAAAGMAAAAAAAAABAc3ZjNhLcO8EWRpc2NvdmVyX3dlZWtseUAxD2Rpc2NvdmVyX3\
    dlZWtseQMAAEAAwLgCQQCA8QTCrAJVVVVVVVXVP12ngEKUQfOa72Vlfyxpy90";

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let token = impression(3).encode(&KEY);
    for length in 0..token.len() {
        assert!(Impression::decode(&token[..length], &KEY).is_err(), "cut at {length}");
    }
    for place in 0..token.len() {
        for other in [b'A', b'_', b'7'] {
            let mut changed = token.clone().into_bytes();
            if changed[place] == other {
                continue;
            }
            changed[place] = other;
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert!(Impression::decode(&changed, &KEY).is_err(), "changed at {place}");
        }
    }
    assert_eq!(Impression::decode(&token, &[8; 32]), Err(TokenError::Forged));
}

#[test]
fn refusals_say_why() {
    let decode = |token: &str| Impression::decode(token, &KEY).map(|_| ());
    assert_eq!(decode("a b"), Err(TokenError::NotBase64));
    assert_eq!(decode(""), Err(TokenError::Truncated));
    assert_eq!(
        decode(&"A".repeat(TOKEN_BYTES_MAX + 1)),
        Err(TokenError::TooLong { bytes: TOKEN_BYTES_MAX + 1 })
    );
    assert_eq!(decode(&codec::seal(&[9], &KEY)), Err(TokenError::UnknownVersion(9)));
    assert_eq!(decode(&codec::seal(&[1, 2, 3], &KEY)), Err(TokenError::Malformed("user")));
    // An authentic header that claims 2³² slots allocates nothing.
    let header = [vec![1], vec![0; 32], vec![0, 0, 0, 0], vec![0x80, 0x80, 0x80, 0x80, 0x10]].concat();
    assert_eq!(decode(&codec::seal(&header, &KEY)), Err(TokenError::Malformed("slots")));
}

#[test]
fn the_candidate_set_hash_ignores_order_only() {
    let hash = |rows: &[u32]| candidate_set_hash(rows.iter().map(|&row| track_ref(row)));
    assert_eq!(hash(&[1, 2, 3]), hash(&[3, 1, 2]));
    assert_ne!(hash(&[1, 2, 3]), hash(&[1, 2]));
}

proptest! {
    #[test]
    fn hostile_text_never_panics(token in ".{0,200}") {
        let _ = Impression::decode(&token, &KEY);
    }

    #[test]
    fn hostile_bytes_never_panic_even_when_authentic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Impression::decode(&codec::seal(&body, &KEY), &KEY);
        for version in 1..=3_u8 {
            let with_version = [&[version][..], &body].concat();
            if let Ok(read) = Impression::decode(&codec::seal(&with_version, &KEY), &KEY) {
                let again = read.encode(&KEY);
                prop_assert_eq!(Impression::decode(&again, &KEY), Ok(read));
            }
        }
    }
}
