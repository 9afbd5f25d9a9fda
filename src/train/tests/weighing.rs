use super::*;

fn weight_of(play: &Play, duration: Option<u32>) -> (f64, f64) {
    let weight = params().weigh(play, duration);
    (weight.liked, weight.disliked)
}

#[test]
fn events_weigh_by_kind_share_and_age() {
    let near = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12;
    let of = |action, listened, days, duration| weight_of(&play(1, 1, action, listened, days), duration);
    assert_eq!(of(PlayAction::Play, 100_000, 0, Some(200_000)), (0.5, 0.0));
    assert_eq!(of(PlayAction::Play, 900_000, 0, Some(200_000)), (1.0, 0.0));
    assert_eq!(of(PlayAction::Play, 90_000, 0, None), (0.5, 0.0), "180 s when not known");
    assert_eq!(of(PlayAction::Save, 200_000, 0, Some(200_000)), (3.0, 0.0));
    assert_eq!(of(PlayAction::Repeat, 200_000, 0, Some(200_000)), (2.5, 0.0));
    assert_eq!(of(PlayAction::Skip, 29_999, 0, Some(200_000)), (0.0, 0.5));
    assert_eq!(of(PlayAction::Skip, 30_000, 0, Some(200_000)), (0.15, 0.0));
    assert_eq!(of(PlayAction::Play, 0, 0, Some(200_000)), (0.0, 0.0));
    assert_eq!(of(PlayAction::Save, 0, 0, Some(200_000)), (3.0, 0.0), "saved without a listening time");
    let half = (-624.0_f64 / 62.4).exp2();
    assert!(near(of(PlayAction::Skip, 0, 624, None), (0.0, 0.5 * half)));
    assert!(near(of(PlayAction::Play, 180_000, 624, None), (half, 0.0)));
    assert_eq!(of(PlayAction::Play, 180_000, -5, None), (1.0, 0.0), "later than the reference: no growth");
}

#[test]
fn a_pair_is_what_weighs_more_and_silence_says_nothing() {
    let plays = [
        play(0, 0, PlayAction::Play, 180_000, 0),
        play(0, 0, PlayAction::Skip, 1_000, 0),
        play(0, 1, PlayAction::Skip, 1_000, 0),
        play(0, 1, PlayAction::Skip, 1_000, 0),
        play(0, 1, PlayAction::Play, 90_000, 0),
        play(0, 2, PlayAction::Play, 0, 0),
        play(0, 3, PlayAction::Save, 180_000, 0),
        play(0, 3, PlayAction::Play, 180_000, 0),
    ];
    let data = Interactions::from_plays(&plays, |_| None, params()).unwrap();
    assert_eq!(data.items(), ["t00", "t01", "t03"]);
    let pairs: Vec<_> = data.of_user(0).collect();
    assert_eq!(pairs, [(0, 1.0, true), (1, 1.0, false), (2, 4.0, true)]);
    assert_eq!((data.pairs(), data.disliked_pairs()), (3, 1));
}

#[test]
fn nothing_to_train_on_is_an_error() {
    assert!(Interactions::from_plays(&[], |_| None, params()).is_err());
    let skip = play(0, 0, PlayAction::Skip, 0, 0);
    assert!(Interactions::from_plays(&[skip], |_| None, params()).is_err());
    let wrong = WeightParams { half_life_days: 0.0, ..params() };
    assert!(Interactions::from_plays(&two_tastes(1), |_| None, wrong).is_err());
}
