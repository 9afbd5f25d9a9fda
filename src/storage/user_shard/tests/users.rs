//! Records, loads, listing, deleting.

use super::*;
use crate::types::{GenerationId, SpaceName};

fn known(id: &str) -> User {
    User { filter_explicit: true, ..User::unknown(user(id)) }
}

fn load(op: UserOp, first_row: u64, rows_done: u64, finished: bool) -> UserCommand {
    let step = LoadStep { load_id: "users.parquet".to_owned(), first_row, rows_done, finished };
    UserCommand { load: Some(step), op }
}

#[test]
fn the_last_word_in_the_log_holds_between_upserts_and_feedback() {
    let shard = TestShard::new();
    shard.run(UserOp::UpsertUsers(vec![User { blocked_artists: vec![artist("a")], ..known("u") }]));
    shard.record(&[
        on_artist("u", Action::BlockArtist, "b", day(9)),
        on_artist("u", Action::UnblockArtist, "a", day(1)),
        on_artist("u", Action::FollowArtist, "c", day(2)),
    ]);
    let view = shard.view("u");
    assert_eq!(view.user.blocked_artists, [artist("b")]);
    assert_eq!(view.user.followed_artists, [artist("c")]);
    assert!(view.user.filter_explicit, "feedback leaves the rest alone");
    shard.run(UserOp::UpsertUsers(vec![User { blocked_artists: vec![artist("d")], ..known("u") }]));
    let view = shard.view("u");
    assert_eq!((&view.user.blocked_artists[..], view.user.followed_artists.len()), (&[artist("d")][..], 0));
}

#[test]
fn hidden_tracks_are_blocked_tracks_with_a_place() {
    let shard = TestShard::new();
    let hide = |action, ordinal, id: &str, at| ResolvedEvent {
        track_id: Some(track_id(id)),
        ..on_track("u", action, ordinal, at)
    };
    shard.record(&[hide(Action::HideTrack, 5, "t5", day(1)), hide(Action::HideTrack, 3, "t3", day(1))]);
    let mut unknown = ResolvedEvent::new(user("u"), Action::HideTrack, day(1));
    unknown.track = Some(EventTrack::Unknown(track_id("t9")));
    shard.record(&[unknown]);
    let view = shard.view("u");
    assert_eq!(view.hidden, [track(3), track(5)]);
    assert_eq!(view.user.blocked_tracks, [track_id("t5"), track_id("t3"), track_id("t9")]);
    assert_eq!(view.heard, Heard::default(), "hiding is not hearing");
    shard.record(&[hide(Action::UnhideTrack, 5, "t5", day(2))]);
    assert_eq!(shard.view("u").hidden, [track(3)]);
    shard.run(UserOp::UpsertUsers(vec![User { blocked_tracks: vec![track_id("t3")], ..known("u") }]));
    assert_eq!(shard.view("u").hidden, [track(3)], "still blocked, its place is still known");
    shard.run(UserOp::UpsertUsers(vec![known("u")]));
    assert!(shard.view("u").hidden.is_empty() && shard.view("u").user.blocked_tracks.is_empty());
}

#[test]
fn a_repeated_block_does_not_undo_the_unblock_after_it() {
    let shard = TestShard::new();
    let block = on_artist("u", Action::BlockArtist, "a", day(1));
    shard.record(&[block.clone(), on_artist("u", Action::UnblockArtist, "a", day(2))]);
    assert_eq!(shard.record(&[block]), [false]);
    assert!(shard.view("u").user.blocked_artists.is_empty());
}

#[test]
fn users_are_listed_in_key_order_and_counted() {
    let shard = TestShard::new();
    let ids: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let reply = shard.run(UserOp::UpsertUsers(ids.iter().map(|id| known(id)).collect()));
    assert_eq!(reply, UserReply::Done(50));
    assert_eq!(
        shard.run(UserOp::UpsertUsers(vec![known("u7"), known("u7"), known("new")])),
        UserReply::Done(1)
    );
    shard.record(&[play("u3", 1, day(1)), play("by-event", 1, day(1))]);
    assert_eq!(shard.shard.user_count(), 52);
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let (users, next) = shard.shard.list_users(cursor.as_ref(), 7).unwrap();
        listed.extend(users.into_iter().map(|user| user.user_id));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let mut expected: Vec<UserId> =
        ids.iter().map(|id| user(id)).chain([user("new"), user("by-event")]).collect();
    expected.sort_by_key(|id| (crate::types::slot_of(id.as_str()), id.clone()));
    assert_eq!(listed, expected);
    let shard = shard.reopen();
    assert_eq!(shard.shard.user_count(), 52);
}

#[test]
fn a_view_that_is_read_once_is_the_same_and_is_not_kept() {
    let shard = TestShard::new();
    shard.record(&[play("u", 1, day(1)), play("u", 2, day(2))]);
    let once = || shard.shard.view_once(&user("u")).unwrap().unwrap();
    let before = shard.shard.views_read();
    assert_eq!(once(), once());
    assert_eq!(shard.shard.views_read(), before + 2);
    let kept = shard.view("u");
    assert_eq!(once(), kept);
    assert_eq!(shard.shard.views_read(), before + 3, "what is kept is not read again");
    assert_eq!(shard.shard.view_once(&user("nobody")).unwrap(), None);
}

#[test]
fn a_deleted_user_leaves_no_row_behind() {
    let shard = TestShard::new();
    let space = SpaceName::new("user_cf").unwrap();
    let rows_before = shard.shard.verify().unwrap();
    shard.run(UserOp::UpsertVectors {
        space: space.clone(),
        generation: GenerationId(1),
        rows: vec![(user("keep"), vec![1.0]), (user("u"), vec![2.0])],
    });
    let everything = |id: &str| {
        let mut search = ResolvedEvent::new(user(id), Action::Search, day(1));
        search.query = Some("jazz".to_owned());
        let mut served = ResolvedEvent::new(user(id), Action::Served, day(1));
        let surface = crate::types::Surface::new("radio").unwrap();
        served.served = Some(ServedList { surface, impression: "i".to_owned(), tracks: Vec::new() });
        let mut waiting = play(id, 0, day(1));
        waiting.track = Some(EventTrack::Unknown(track_id("later")));
        [on_track(id, Action::Skip, 1, day(1)), search, served, waiting]
    };
    shard.record(&everything("keep"));
    let rows_with_one = shard.shard.verify().unwrap();
    shard.record(&everything("u"));
    assert_eq!(
        shard.run(UserOp::DeleteUsers(vec![user("u"), user("u"), user("nobody")])),
        UserReply::Done(1)
    );
    assert_eq!(shard.shard.verify().unwrap(), rows_with_one - 1, "one vector less, nothing of u");
    assert!(shard.shard.view(&user("u")).unwrap().is_none());
    assert_eq!(shard.shard.user(&user("u")).unwrap(), None);
    assert_eq!(shard.shard.vector_count(&space, GenerationId(1)).unwrap(), 1);
    assert_eq!(shard.run(UserOp::ResolveTracks(vec![(track_id("later"), track(8))])), UserReply::Done(1));
    assert_eq!((shard.shard.user_count(), shard.view("keep").plays.len()), (1, 2));
    shard.run(UserOp::DeleteUsers(vec![user("keep")]));
    // What remains: the shard's row, the generation's row and two counts of the resolved play.
    assert_eq!((rows_before, shard.shard.verify().unwrap()), (0, 4));
}

#[test]
fn a_load_is_applied_exactly_once_and_resumes() {
    let shard = TestShard::new();
    let users = |n: u64| UserOp::UpsertUsers(vec![known(&format!("u{n}"))]);
    assert_eq!(shard.run(load(users(0), 0, 10, false)), UserReply::Done(1));
    let at_10 = LoadState { rows_done: 10, finished: false };
    assert_eq!(shard.run(load(users(1), 0, 10, false)), UserReply::AlreadyLoaded(at_10), "sent again");
    assert_eq!(shard.run(load(users(1), 5, 15, false)), UserReply::AlreadyLoaded(at_10), "overlaps");
    assert_eq!(shard.shard.user_count(), 1);
    let shard = shard.reopen();
    assert_eq!(shard.shard.load_state("users.parquet").unwrap(), at_10);
    assert_eq!(
        shard.run(load(users(2), 20, 30, false)),
        UserReply::Done(1),
        "other shards had the rows between"
    );
    assert_eq!(shard.run(load(UserOp::Nothing, 30, 30, true)), UserReply::Done(0));
    let end = LoadState { rows_done: 30, finished: true };
    assert_eq!(shard.run(load(users(3), 30, 40, false)), UserReply::AlreadyLoaded(end));
    assert_eq!(shard.shard.load_state("users.parquet").unwrap(), end);
    assert_eq!(shard.shard.load_state("other").unwrap(), LoadState::default());
}

#[test]
fn mistakes_are_replies_and_do_nothing() {
    let shard = TestShard::new();
    let mut no_track = play("u", 1, day(1));
    no_track.track = None;
    let batch = PlayBatch { plays: vec![row(0, 1, day(1), PlayAction::Play)], ..PlayBatch::default() };
    let nan = UserOp::UpsertVectors {
        space: SpaceName::new("user_cf").unwrap(),
        generation: GenerationId(1),
        rows: vec![(user("a"), vec![1.0, 2.0]), (user("b"), vec![1.0, f32::NAN])],
    };
    let mut long_id = load(UserOp::Nothing, 0, 1, false);
    long_id.load.as_mut().unwrap().load_id = "x".repeat(257);
    for (command, reason) in [
        (UserOp::Record(vec![play("u", 1, day(1)), no_track]).into(), "row 1: play needs track"),
        (
            UserOp::RecordPlays(batch).into(),
            "play names a user that is not in the batch. user=`0`, users=`0`",
        ),
        (UserCommand::from(nan), "row 1: vector has a component that is not a number. component=`1`"),
        (long_id, "load_id must have 1 to 256 bytes. bytes=`257`"),
    ] {
        assert_eq!(shard.run(command), UserReply::Refused(reason.to_owned()));
    }
    assert_eq!((shard.shard.user_count(), shard.shard.verify().unwrap()), (0, 1), "only the applied index");
}

#[test]
fn entries_are_skipped_when_applied_before_and_stop_when_unreadable() {
    let shard = TestShard::new();
    let data = UserCommand::from(UserOp::UpsertUsers(vec![known("u")])).encode();
    let entry = |index, data| LogEntry { index, term: 3, data };
    shard.shard.apply(&[entry(7, &data), entry(9, &data)]).unwrap();
    assert_eq!(shard.shard.applied(), AppliedAt { index: 9, term: 3 });
    let skipped = shard.shard.apply(&[entry(7, &data)]).unwrap();
    assert_eq!(UserReply::decode(&skipped[0]).unwrap(), UserReply::Done(0));
    let newer = shard.shard.apply(&[entry(10, &[2; 16])]).unwrap_err();
    assert!(matches!(newer, UserShardError::Command { index: 10, .. }), "{newer}");
    assert_eq!(shard.shard.applied().index, 9);
}

#[test]
fn a_shard_is_opened_once() {
    let shard = TestShard::new();
    let second = UserShard::open(shard.dir.path(), &options());
    assert!(matches!(second, Err(UserShardError::Locked { .. })));
    let shard = shard.reopen();
    assert_eq!(shard.shard.applied(), AppliedAt::default());
}
