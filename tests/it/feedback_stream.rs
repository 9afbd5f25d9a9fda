//! Feedback over one stream: answered in order, counted once, and seen by the next list.

use std::sync::atomic::{AtomicBool, Ordering};

use segue::ErrorKind;
use segue::pipeline::recipe::{HeardWindow, RecipePatch};
use segue::pipeline::request::RecommendRequest;
use segue::types::{Action, FeedbackEvent, Surface, Timestamp, TrackId, User};

use crate::discovery::event;
use crate::running::Running;
use crate::support::{AS_OF, id, track};

const TRACKS: u64 = 200;
const BATCHES: u64 = 60;

/// Ends the other writer, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The event of a listener on a track, a second later with every number.
fn plays(user: &str, track: u64, number: u64) -> FeedbackEvent {
    let at = Timestamp(AS_OF.0 - 3_600_000 + 1_000 * number as i64);
    FeedbackEvent { track_id: Some(id(format!("t{track}"))), ..event(user, Action::Play, at) }
}

#[test]
fn a_stream_of_feedback_is_answered_in_order_and_seen_by_the_next_list_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let client = server.client();
    client.upsert_tracks((0..TRACKS).map(|number| track(number, 0)).collect()).unwrap();
    let users = ["mine", "others"];
    client.upsert_users(users.map(|user| User::unknown(id(user))).to_vec()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = End(&over);
        let others = scope.spawn(|| {
            let mut stream = client.feedback_stream();
            let (mut number, mut answered) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let batch = (0..50).map(|at| plays("others", at, 50 * number + at)).collect();
                answered += stream.send(batch).unwrap().len();
                number += 1;
            }
            answered += stream.flush().unwrap().len();
            (number as usize, answered)
        });
        let mut stream = client.feedback_stream();
        let mut answers = Vec::new();
        for number in 0..BATCHES {
            // Each batch has an event of the one before: known by what it says.
            let batch = vec![
                plays("mine", number, number),
                plays("mine", number.saturating_sub(1), number.saturating_sub(1)),
            ];
            answers.extend(stream.send(batch).unwrap());
            if number % 20 != 19 {
                continue;
            }
            answers.extend(stream.flush().unwrap());
            assert_eq!(answers.len() as u64, number + 1, "everything is answered, once");
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                n: Some(20),
                overrides: RecipePatch {
                    heard: Some(HeardWindow::Days(1)),
                    exploration_rate: Some(0.0),
                    ..RecipePatch::default()
                },
                ..RecommendRequest::new(id("mine"), Surface::new("anywhere").unwrap())
            };
            let list = client.recommend(request).unwrap();
            let heard = |shown: &&TrackId| (0..=number).any(|number| shown.as_str() == format!("t{number}"));
            let shown: Vec<&TrackId> =
                list.tracks.iter().map(|track| &track.track_id).filter(heard).collect();
            assert!(list.relaxed.is_empty() && list.tracks.len() == 20, "{:?}", list.relaxed);
            assert!(shown.is_empty(), "heard a moment ago: {shown:?}");
        }
        drop(end);
        let first = answers.remove(0);
        assert_eq!(first.0, [true, false], "the second event of the first batch is the first once more");
        assert!(answers.iter().all(|(accepted, _)| accepted == &[true, false]), "{answers:?}");
        let (sent, answered) = others.join().unwrap();
        assert!(sent > 0 && sent == answered, "{answered} of {sent} batches were answered");
    });
    // A batch that is wrong ends the stream with its reason.
    let mut stream = client.feedback_stream();
    let wrong = FeedbackEvent { track_id: None, ..plays("mine", 0, 0) };
    let error = stream.send(vec![wrong]).and_then(|_| stream.flush()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
