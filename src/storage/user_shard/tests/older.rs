//! Whole histories: what a view keeps no more.

use arc_swap::ArcSwap;

use super::*;
use crate::storage::user_shard::older::page;
use crate::types::{SlotRanges, SplitMix64};

/// What was told of an event: when, about which track, what, and for how long.
type Told = (Timestamp, u32, PlayAction, u32);

/// A listener's events over five years, several on some days and at some moments.
fn five_years(seed: u64, shard: &TestShard) -> Vec<Told> {
    let mut rng = SplitMix64::new(seed);
    let mut told = Vec::new();
    for ordinal in 0..600 {
        let at = Timestamp(day(20_000).0 + 3_600_000 * i64::try_from(rng.below(5 * 365 * 24)).unwrap());
        let (action, kind) = [
            (Action::Play, PlayAction::Play),
            (Action::Skip, PlayAction::Skip),
            (Action::Save, PlayAction::Save),
            (Action::Repeat, PlayAction::Repeat),
        ][rng.below(4) as usize];
        let listened_ms = rng.below(200_000) as u32;
        let event = ResolvedEvent { listened_ms, ..on_track("u", action, ordinal, at) };
        shard.record(&[event, play("v", ordinal, at)]);
        told.push((at, ordinal, kind, listened_ms));
    }
    shard.record(&[
        on_track("u", Action::Unsave, 7, day(20_001)),
        on_artist("u", Action::FollowArtist, "a", day(20_001)),
    ]);
    told.sort_unstable_by_key(|told| (told.0, told.1));
    told
}

fn told(plays: &[PlayRecord]) -> Vec<Told> {
    let of = |play: &PlayRecord| (play.at, play.track.ordinal.0, play.action, play.listened_ms);
    let mut told: Vec<Told> = plays.iter().map(of).collect();
    told.sort_unstable_by_key(|told| (told.0, told.1));
    told
}

/// All events of a listener until a moment, in pages of so many at least, and how many pages they were.
fn in_pages(shard: &UserShard, until: Timestamp, most: usize) -> (Vec<PlayRecord>, usize) {
    let (mut plays, mut from, mut pages) = (Vec::new(), Some(i32::MIN), 0);
    while let Some(day) = from {
        let (page, next) = page(shard, &user("u"), (day, until), most).unwrap();
        assert!(next.is_none_or(|next| next > day));
        plays.extend(page);
        (from, pages) = (next, pages + 1);
    }
    (plays, pages)
}

/// Asks a shard by encoded question and answer, as nodes do.
struct Wired {
    shard: UserShard,
    holder: Holder,
}

/// Who holds it: a program of today, one that does not know the question, or one whose files are damaged.
#[derive(Clone, Copy, PartialEq)]
enum Holder {
    Today,
    Before,
    Damaged,
}

impl Elsewhere for Wired {
    fn ask(&self, _: usize, question: &UserQuestion) -> Result<UserAnswer> {
        let far = |source: crate::Error| UserShardError::Elsewhere { source: Box::new(source) };
        match self.holder {
            Holder::Today => {}
            // What a program says to a question it cannot read.
            Holder::Before => {
                let unknown = [&[1, 0][..], &[0xFF; 62]].concat();
                return Err(far(UserQuestion::decode(&unknown).unwrap_err()));
            }
            Holder::Damaged => return Err(far(crate::Error::Corrupt("a block is damaged".to_owned()))),
        }
        let question = UserQuestion::decode(&question.encode()).map_err(far)?;
        UserAnswer::decode(&self.shard.answer(&question)?.encode()).map_err(far)
    }

    fn figures(&self, _: usize) -> Option<Arc<Figures>> {
        None
    }

    fn statistics(&self) -> Option<Arc<[u8]>> {
        None
    }
}

fn elsewhere(shard: UserShard, holder: Holder) -> UserShards {
    let ranges = Arc::new(ArcSwap::from_pointee(SlotRanges::even(1)));
    UserShards::ranged([], ranges, Some(Arc::new(Wired { shard, holder })))
}

#[test]
fn a_whole_history_is_what_was_told_until_the_moment_in_pages_of_any_length() {
    for seed in 0..3 {
        let shard = TestShard::new();
        let all = five_years(seed, &shard);
        assert!(shard.view("u").plays.len() < 100, "a view keeps 90 days of five years");
        for until in [all[0].0, all[300].0, Timestamp(all[300].0.0 - 1), all[599].0, day(99_999), day(0)] {
            let expected: Vec<_> = all.iter().copied().filter(|told| told.0 <= until).collect();
            for most in [1, 7, 100, 10_000] {
                let (plays, pages) = in_pages(&shard.shard, until, most);
                assert_eq!(told(&plays), expected, "seed {seed}, until {until:?}, {most} a page");
                assert!(most == 10_000 || expected.len() < 300 || pages > 2, "{pages} pages of {most}");
            }
        }
    }
}

/// The view may keep some of several events at one moment; with what is read until that moment there is each once.
#[test]
fn what_is_read_and_what_a_view_keeps_of_more_than_it_may_keep_are_everything() {
    let shard = TestShard::new();
    let moments = |number: u32| day(20_000 + i64::from(number / 3_000));
    let count = u32::try_from(PLAYS_MAX).unwrap() + 500;
    let plays: Vec<PlayRow> =
        (0..count).map(|number| row(0, number, moments(number), PlayAction::Play)).collect();
    for chunk in plays.chunks(1_000) {
        let batch = PlayBatch { users: vec![user("u")], plays: chunk.to_vec(), unknown: Vec::new() };
        assert_eq!(shard.run(UserOp::RecordPlays(batch)), UserReply::Done(chunk.len() as u64));
    }
    let view = shard.view("u");
    assert_eq!(view.plays.len(), PLAYS_MAX);
    let oldest = view.plays.last().unwrap().at;
    let shards = UserShards::new(vec![shard.shard.clone()]);
    let older = shards.plays_until(&user("u"), oldest, &Missing::default()).unwrap().unwrap();
    assert_eq!(older.len(), 3_000);
    let newer = view.plays.iter().filter(|play| play.at > oldest).copied();
    let mut all: Vec<u32> = newer.chain(older).map(|play| play.track.ordinal.0).collect();
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
    // Days of six parts each: a page ends with a day, not within one.
    let (whole, pages) = in_pages(&shard.shard, day(99_999), 700);
    assert_eq!((whole.len(), pages), (count as usize, count.div_ceil(3_000) as usize));
}

#[test]
fn a_shard_elsewhere_says_the_same_one_of_before_is_missing_and_a_damaged_one_is_damaged() {
    let shard = TestShard::new();
    let all = five_years(5, &shard);
    let missing = Missing::default();
    let here = UserShards::new(vec![shard.shard.clone()]);
    let (id, until) = (user("u"), all[400].0);
    let read = here.plays_until(&id, until, &missing).unwrap().unwrap();
    assert!(read.is_sorted_by_key(|play| play.at));
    assert_eq!(told(&read), all.iter().copied().filter(|told| told.0 <= until).collect::<Vec<_>>());
    let far = elsewhere(shard.shard.clone(), Holder::Today);
    assert_eq!(far.plays_until(&id, until, &missing).unwrap().unwrap(), read);
    assert!(missing.is_empty());
    let of_before = elsewhere(shard.shard.clone(), Holder::Before);
    assert_eq!(of_before.plays_until(&id, until, &missing).unwrap(), None);
    assert_eq!(missing.shards(), [0]);
    let damaged =
        elsewhere(shard.shard.clone(), Holder::Damaged).plays_until(&id, until, &missing).unwrap_err();
    assert_eq!(crate::Error::from(damaged).kind(), crate::error::ErrorKind::Corrupt);
}
