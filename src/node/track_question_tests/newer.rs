//! A shard elsewhere changes while a request asks it: answers come from versions newer than the one the request began with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::asked::with;
use super::world::{AS_OF, STATIC, World, space};
use super::{fill, open};
use crate::error::{ErrorKind, Result};
use crate::node::engine::Segue;
use crate::pipeline::reader::Caches;
use crate::pipeline::recommend::recommend;
use crate::pipeline::request::RecommendRequest;
use crate::pipeline::tracks::{Answering, TrackAnswer, TrackQuestion, TracksElsewhere};
use crate::storage::track_shard::TrackView;
use crate::types::{Action, Artist, ArtistId, Deadline, FeedbackEvent, Surface, Track, TrackId, VectorRow};

/// Answers from one version until tracks are looked for, from then on from a newer one.
struct Changing {
    before: Vec<Arc<TrackView>>,
    after: Vec<Arc<TrackView>>,
    has_changed: AtomicBool,
    caches: Caches,
}

impl TracksElsewhere for Changing {
    fn ask(&self, shard: u16, question: &TrackQuestion, deadline: Deadline) -> Result<TrackAnswer> {
        if matches!(question, TrackQuestion::Nearest { .. } | TrackQuestion::Popular { .. }) {
            self.has_changed.store(true, Ordering::Relaxed);
        }
        let views = if self.has_changed.load(Ordering::Relaxed) { &self.after } else { &self.before };
        let view = views.iter().find(|view| view.shard.0 == shard).unwrap();
        Answering { view, caches: &self.caches, deadline }.answer(question)
    }
}

fn versions(engine: &Segue) -> Vec<Arc<TrackView>> {
    engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec()
}

fn by_nobody(track: &Track) -> Track {
    let id = ArtistId::new("nobody").unwrap();
    Track { artists: vec![Artist { id, name: "Nobody".to_owned() }], ..track.clone() }
}

#[test]
fn tracks_that_come_or_change_while_a_list_is_made_break_no_rule_and_are_no_bug() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 1);
    let mut world = World::generate(0x3E, 900, 30);
    fill(&engine, &mut world);
    let block = |user: &crate::types::User| FeedbackEvent {
        artist_id: Some(ArtistId::new("nobody").unwrap()),
        at: Some(AS_OF),
        ..FeedbackEvent::new(user.user_id.clone(), Action::BlockArtist)
    };
    engine.feedback(world.users.iter().map(block).collect()).unwrap();
    let before = versions(&engine);
    let name = |id: &str| format!("new-{id}");
    let new = world.tracks.iter().map(|track| Track {
        track_id: TrackId::new(name(track.track_id.as_str())).unwrap(),
        popularity: Some(100.0),
        ..by_nobody(track)
    });
    engine.upsert_tracks(new.collect()).unwrap();
    let near =
        world.audio_vectors.iter().map(|row| VectorRow { id: name(&row.id), vector: row.vector.clone() });
    engine.upsert_vectors(&space("audio"), STATIC, near.collect()).unwrap();
    let with_new = versions(&engine);
    // And every second track is by somebody whom everybody has blocked.
    let changed = world.tracks.iter().step_by(2).map(by_nobody);
    engine.upsert_tracks(changed.collect()).unwrap();
    let with_changed = versions(&engine);
    let (mut refused, mut lists) = (0, 0);
    for after in [with_new, with_changed] {
        for (at, user) in world.users.iter().enumerate() {
            let changing = Changing {
                before: before.clone(),
                after: after.clone(),
                has_changed: false.into(),
                caches: Caches::default(),
            };
            let changing: Arc<dyn TracksElsewhere> = Arc::new(changing);
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                request_id: Some(format!("{at}")),
                ..RecommendRequest::new(user.user_id.clone(), Surface::new("radio").unwrap())
            };
            let caches = Caches::default();
            match recommend(&with((&engine, &caches), &before, &[0], Some(&changing)), &request) {
                Ok(list) => {
                    assert!(!list.tracks.is_empty());
                    assert!(list.tracks.iter().all(|track| !track.track_id.as_str().starts_with("new-")));
                    assert!(list.tracks.iter().all(|track| track.artists != ["Nobody"]));
                    lists += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    refused += 1;
                }
            }
        }
        // What is new is left to the next list; what has changed may be among what was found.
        assert!(lists >= world.users.len(), "{lists} lists, {refused} refused");
    }
    assert!(refused > 0, "some met a changed track");
}
