//! Exploration through the whole pipeline: how much of real lists explores, where, and with what probability.

use std::collections::BTreeMap;

use segue::Segue;
use segue::node::VectorRow;
use segue::pipeline::explore::normal_cdf;
use segue::pipeline::recipe::RecipePatch;
use segue::pipeline::request::{RecommendRequest, Recommendation};
use segue::types::{DAY_MS, Play, PlayAction, SplitMix64, Surface, Timestamp, User};

use crate::support::{AS_OF, DIM, World, id, random_vector, seed, small_segments};

const LISTENERS: u64 = 25;

/// Listeners of whom nothing changes a recipe's rate: they have a trained vector and came long ago, but have played too
/// little for a diversity, and nothing was shown to them.
struct Neutral {
    _folder: tempfile::TempDir,
    engine: Segue,
}

impl Neutral {
    fn new(default_seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed(default_seed));
        let mut world = World::generate(rng.below(1 << 40), 1_200, 40);
        for number in 0..LISTENERS {
            let mut user = User::unknown(id(format!("n{number}")));
            user.region = Some("DE".parse().unwrap());
            user.registered_at = Some(AS_OF.minus_days(100));
            user.followed_artists = (0..8).map(|at| id(format!("a{}", (number + 5 * at) % 40))).collect();
            for at in 0..12 {
                world.plays.push(Play {
                    user_id: user.user_id.clone(),
                    track_id: id(format!("t{}", rng.below(1_200))),
                    played_at: Timestamp(AS_OF.0 - 10 * DAY_MS - at * 3_600_000),
                    listened_ms: 100_000,
                    action: PlayAction::Play,
                });
            }
            let vector = random_vector(&mut rng, DIM);
            world.user_vectors.push(VectorRow { id: user.user_id.to_string(), vector });
            world.users.push(user);
        }
        let folder = tempfile::tempdir().unwrap();
        let (engine, _) = Segue::open(folder.path(), small_segments()).unwrap();
        world.load(&engine);
        Self { _folder: folder, engine }
    }

    fn ask(&self, number: u64, surface: &str, request: u64, overrides: RecipePatch) -> Recommendation {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some(format!("request {request}")),
            explain: true,
            overrides,
            ..RecommendRequest::new(id(format!("n{number}")), Surface::new(surface).unwrap())
        };
        self.engine.recommend(request).unwrap()
    }
}

/// Goal: the share of explored places of real lists is the surface's rate.
///
/// The count of each list is a rounding of `rate · length` to one of its two neighbours, whatever else happens: values in
/// an interval of length 1 around their mean. By Hoeffding's inequality a sum of R such counts is further than `2.5·√R`
/// from its mean with a chance below `2·exp(−2·2.5²) = 7e-6`, so below 6e-5 for any of seven surfaces.
#[test]
fn the_explored_share_of_real_lists_is_the_rate_of_their_surface() {
    let place = Neutral::new(0xE7_01);
    let rates = [
        ("radio", 0.08),
        ("top_mixes", 0.125),
        ("daily_mix", 0.25),
        ("discover_weekly", 0.45),
        ("release_radar", 0.10),
        ("made_for_you", 0.25),
        ("anywhere_else", 0.20),
    ];
    for (surface, rate) in rates {
        let (mut explored, mut places, mut lists) = (0, 0, 0);
        for request in 0..144 {
            let list = place.ask(request % LISTENERS, surface, request, RecipePatch::default());
            assert_eq!(list.cold_start, "user_vector");
            assert!(list.tracks[..3].iter().all(|track| !track.explored), "{surface}, request {request}");
            explored += list.tracks.iter().filter(|track| track.explored).count();
            places += list.tracks.len();
            lists += 1;
        }
        let (expected, bound) = (rate * places as f64, 2.5 * f64::from(lists).sqrt());
        let share = 100.0 * explored as f64 / places as f64;
        eprintln!(
            "{surface}: {explored} of {places} places, {share:.2} %; expected {expected:.1} ± {bound:.1}"
        );
        assert!((explored as f64 - expected).abs() <= bound, "{surface}: {explored}, expected {expected}");
        assert!(places >= lists as usize * 8, "{surface}: lists of {} places", places / lists as usize);
    }
}

/// Goal: what a reply says of the probability of an explored track is how often requests show it. One draw a list, so that
/// the stated probability is that of the track being shown at all.
#[test]
fn a_track_is_explored_as_often_as_replies_say() {
    const REQUESTS: u32 = 1_500;
    let place = Neutral::new(0xE7_02);
    let mut seen: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for request in 0..REQUESTS {
        // A tenth of ten is one place, not rounded; no source of the radio draws its tracks by chance.
        let one = RecipePatch { exploration_rate: Some(0.1), ..RecipePatch::default() };
        let list = place.ask(3, "radio", request.into(), one);
        let explored: Vec<_> = list.tracks.iter().filter(|track| track.explored).collect();
        assert_eq!((list.tracks.len(), explored.len()), (10, 1));
        let stated = explored[0].explanation.as_ref().unwrap().propensity.unwrap();
        let (count, before) = seen.entry(explored[0].track_id.to_string()).or_insert((0.0, stated));
        *count += 1.0;
        assert_eq!(*before, stated, "the same state states the same probability");
    }
    let all: f64 = seen.values().map(|(_, stated)| stated).sum();
    assert!(all <= 1.0 + 1e-9 && all > 0.9, "{all}");
    let (mut chi, mut degrees, mut rest) = (0.0, 0.0, (f64::from(REQUESTS), f64::from(REQUESTS)));
    for (found, stated) in seen.values() {
        let expected = stated * f64::from(REQUESTS);
        if expected >= 8.0 {
            chi += (found - expected).powi(2) / expected;
            degrees += 1.0;
            rest = (rest.0 - found, rest.1 - expected);
        }
    }
    // The rare tracks together, those that were never shown among them.
    if rest.1 >= 8.0 {
        chi += (rest.0 - rest.1).powi(2) / rest.1;
    } else {
        degrees -= 1.0;
    }
    // Wilson and Hilferty (1931).
    let spread: f64 = 2.0 / (9.0 * degrees);
    let p = 1.0 - normal_cdf(((chi / degrees).cbrt() - (1.0 - spread)) / spread.sqrt());
    eprintln!("{} tracks, chi-squared {chi:.1} of {degrees} degrees of freedom, p {p:.3}", seen.len());
    assert!(degrees >= 4.0 && p > 0.001, "chi-squared {chi} of {degrees}, p {p}");
}
