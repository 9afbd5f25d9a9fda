//! Questions and answers of whoever: errors, never a panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::asked::with;
use super::world::{AS_OF, World};
use super::{audio, fill, open};
use crate::error::Result;
use crate::filter::{RuleClass, TrackFilter};
use crate::pipeline::reader::Caches;
use crate::pipeline::recommend::recommend;
use crate::pipeline::request::RecommendRequest;
use crate::pipeline::tracks::{
    AllowedQuestion, Answering, Pick, TrackAnswer, TrackQuestion, TracksElsewhere, bitmap_bytes,
};
use crate::storage::track_shard::TrackView;
use crate::storage::track_shard::segment::PostingField;
use crate::types::{Deadline, GenerationId, GenreKey, Metric, SplitMix64, Surface, TrackId};

fn questions() -> Vec<TrackQuestion> {
    let allowed = |left_out: Vec<u8>| AllowedQuestion {
        class: RuleClass::Live,
        filter: TrackFilter::default(),
        only: Some(left_out.clone()),
        left_out,
    };
    let empty = bitmap_bytes(&roaring::RoaringBitmap::new());
    let full = {
        let set: roaring::RoaringBitmap = [0, 5, u32::MAX].into_iter().collect();
        bitmap_bytes(&set)
    };
    let ordinals = vec![0, 899, 900, u32::MAX];
    let (field, key, generation) = (PostingField::Genre, GenreKey::of("rock").0, GenerationId::STATIC);
    let nearest = |query: Vec<f32>, k: u32, left_out: &[u8]| TrackQuestion::Nearest {
        space: audio(),
        generation,
        metric: Metric::Cosine,
        queries: vec![query],
        k,
        ef: Some(k),
        exact: k.is_multiple_of(2),
        allowed: allowed(left_out.to_vec()),
    };
    vec![
        TrackQuestion::Outline,
        TrackQuestion::Briefs(ordinals.clone()),
        TrackQuestion::Facts(vec![0, 3]),
        TrackQuestion::Facts(ordinals.clone()),
        TrackQuestion::Rows(ordinals.clone()),
        TrackQuestion::Find(vec![TrackId::new("t1").unwrap(), TrackId::new("nobody").unwrap()]),
        TrackQuestion::Versions { own: full.clone(), recordings: vec![0, key] },
        TrackQuestion::Versions { own: vec![7; 40], recordings: Vec::new() },
        TrackQuestion::Vectors { space: audio(), generation, ordinals: ordinals.clone() },
        TrackQuestion::Vectors { space: audio(), generation: GenerationId(77), ordinals: ordinals.clone() },
        TrackQuestion::Locations { space: audio(), generation, ordinals },
        TrackQuestion::Genres,
        TrackQuestion::Postings { field, keys: vec![key, 1] },
        TrackQuestion::Posted { field, key, pick: Pick::Any },
        TrackQuestion::Posted { field, key, pick: Pick::First(u32::MAX) },
        TrackQuestion::Posted { field, key, pick: Pick::Popular { unknown: f32::NAN, most: 9 } },
        TrackQuestion::Posted { field, key, pick: Pick::Middle { skip: u64::MAX, stride: 0 } },
        TrackQuestion::Posted { field, key, pick: Pick::Middle { skip: 0, stride: u64::MAX } },
        TrackQuestion::Posted {
            field,
            key,
            pick: Pick::WithVector { space: audio(), generation, unknown: -1.0, most: 3 },
        },
        TrackQuestion::Middle { field, key },
        TrackQuestion::New { artists: None, today: i32::MIN },
        TrackQuestion::New { artists: Some(vec![0, 1]), today: i32::MAX },
        TrackQuestion::Allowed { class: RuleClass::Live, filter: TrackFilter::default() },
        TrackQuestion::Words { allowed: allowed(full.clone()), text: "title".to_owned() },
        TrackQuestion::Popular { allowed: allowed(full.clone()), k: u32::MAX },
        TrackQuestion::Load("no such load".to_owned()),
        nearest(vec![1.0; super::world::DIM], 10, &full),
        nearest(vec![1.0; super::world::DIM], 7, &empty),
        nearest(vec![1.0; 3], 10, &empty),
        nearest(vec![f32::NAN; super::world::DIM], 10, &empty),
        nearest(vec![1.0; super::world::DIM], u32::MAX, &empty),
        nearest(vec![1.0; super::world::DIM], 10, &[1, 2, 3]),
    ]
}

#[test]
fn damaged_questions_and_answers_are_refused_or_answered() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    let mut world = World::generate(3, 900, 30);
    fill(&engine, &mut world);
    let view = engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec().remove(0);
    let caches = Caches::default();
    let answer = |question: &TrackQuestion| {
        Answering { view: &view, caches: &caches, deadline: Deadline::NEVER }.answer(question)
    };
    let mut rng = SplitMix64::new(9);
    for question in questions() {
        let bytes = question.encode();
        assert_eq!(TrackQuestion::decode(&bytes).unwrap().encode(), bytes);
        let answered = answer(&question).map(|answer| answer.encode());
        for _ in 0..60 {
            let damaged = damage(&bytes, &mut rng);
            if let Ok(question) = TrackQuestion::decode(&damaged) {
                drop(answer(&question));
            }
            if let Ok(answered) = &answered {
                drop(TrackAnswer::decode(&damage(answered, &mut rng)));
            }
        }
    }
    assert!(answer(&questions().pop().unwrap()).is_err(), "no bitmap");
}

/// A few bytes changed, or the end cut off.
fn damage(bytes: &[u8], rng: &mut SplitMix64) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    if rng.below(4) == 0 {
        damaged.truncate(rng.below(bytes.len() as u64) as usize);
        return damaged;
    }
    for _ in 0..=rng.below(3) {
        let at = rng.below(damaged.len() as u64) as usize;
        damaged[at] ^= 1 << rng.below(8);
    }
    damaged
}

/// Answers something else now and then: of another kind, about other tracks, or with numbers that cannot be.
struct Liar {
    view: Arc<TrackView>,
    caches: Caches,
    rng: AtomicU64,
}

impl TracksElsewhere for Liar {
    fn ask(&self, _: u16, question: &TrackQuestion, deadline: Deadline) -> Result<TrackAnswer> {
        let answer = Answering { view: &self.view, caches: &self.caches, deadline }.answer(question)?;
        let draw = SplitMix64::new(self.rng.fetch_add(1, Ordering::Relaxed)).below(12);
        Ok(match (draw, answer) {
            (0, _) => TrackAnswer::Count(7),
            (1, TrackAnswer::Briefs(_)) => TrackAnswer::Briefs(Vec::new()),
            (1, TrackAnswer::Rows(rows)) => TrackAnswer::Rows(vec![None; rows.len()]),
            (2, TrackAnswer::Ordinals(_)) => TrackAnswer::Ordinals(vec![1]),
            (2, TrackAnswer::Vectors(found)) => TrackAnswer::Vectors(vec![Some(vec![f32::NAN]); found.len()]),
            (2, TrackAnswer::Count(_)) => TrackAnswer::Count(u64::MAX),
            (3, TrackAnswer::New(_)) => TrackAnswer::New(vec![(u64::MAX, u32::MAX)]),
            (3, TrackAnswer::Popular(_, briefs)) => {
                TrackAnswer::Popular(vec![(u32::MAX, f32::NAN); 20], briefs)
            }
            (1, TrackAnswer::FactsAndVectors(facts, _)) => TrackAnswer::FactsAndVectors(facts, Vec::new()),
            (2, TrackAnswer::FactsAndVectors(facts, found)) => {
                TrackAnswer::FactsAndVectors(facts, vec![Some(vec![f32::NAN]); found.len()])
            }
            (3, TrackAnswer::Posted(mut posted)) => {
                posted.iter_mut().for_each(|row| row.ordinal = u32::MAX - row.ordinal);
                TrackAnswer::Posted(posted)
            }
            (3, TrackAnswer::Nearest(mut found, briefs)) => {
                found.extend(found.clone());
                found.iter_mut().flat_map(|found| &mut found.hits).for_each(|hit| hit.0 |= 1 << 31);
                TrackAnswer::Nearest(found, briefs)
            }
            (_, answer) => answer,
        })
    }
}

#[test]
fn a_node_that_lies_is_an_error_or_a_wrong_list_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    let mut world = World::generate(4, 900, 30);
    fill(&engine, &mut world);
    let views = engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec();
    let (mut good, mut refused) = (0, 0);
    for seed in 0..300 {
        let liar =
            Liar { view: Arc::clone(&views[0]), caches: Caches::default(), rng: (seed * 1_000).into() };
        let liar: Arc<dyn TracksElsewhere> = Arc::new(liar);
        let user = world.users[seed as usize % 30].user_id.clone();
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some(format!("{seed}")),
            ..RecommendRequest::new(user, Surface::new(["home", "radio"][seed as usize % 2]).unwrap())
        };
        let caches = Caches::default();
        match recommend(&with((&engine, &caches), &views, &[0], Some(&liar)), &request) {
            Ok(_) => good += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(good + refused == 300 && refused > 50, "{good} {refused}");
}
