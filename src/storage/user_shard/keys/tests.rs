//! Order and parts of keys.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn keys_sort_as_their_parts_do() {
    let prefix = user(&UserId::new("u1").unwrap());
    assert!(history(&prefix, -1, 9) < history(&prefix, 0, 0));
    assert!(history(&prefix, 3, 0) < history(&prefix, 3, 1));
    assert!(timed(&prefix, SERVED, Timestamp(-5), u64::MAX) < timed(&prefix, SERVED, Timestamp(2), 0));
    let longest = history(&prefix, i32::MAX, u16::MAX);
    assert!(longest < user_end(&prefix) && longest[..] < USERS_END[..]);
}

#[test]
fn parts_are_read_back_from_keys() {
    let id = UserId::new("ü 1").unwrap();
    let track = TrackId::new("t").unwrap();
    let prefix = user(&id);
    assert_eq!(history_day(&history(&prefix, -7, 3)), Some(-7));
    assert_eq!(timed_suffix(&timed(&prefix, SEARCH, Timestamp(-9), 77)), Some((Timestamp(-9), 77)));
    assert_eq!(pending_track(&prefix, &pending(&prefix, &track, Timestamp(1), 2)), Some(&b"t"[..]));
    let wait = waiting(b"t", &prefix);
    assert_eq!(waiting_user(&waiting_of_track(b"t"), &wait), Some(prefix.clone()));
    assert_eq!(waiting_track(&wait), Some(track.clone()));
    let (after, longer) = (waiting_after(Some(&track)), waiting(b"t ", &prefix));
    assert!(waiting_after(None) < wait && wait < after && after < longer && longer[..] < WAITING_END[..]);
    let space = SpaceName::new("user_cf").unwrap();
    assert_eq!(vectors_user(&vector(&space, 7, &prefix)), Some(id.clone()));
    assert_eq!(parse_generation(&generation(&space, 7)), Some((space, 7)));
    let at = TrackRef { shard: ShardId(3), ordinal: TrackOrdinal(70_000) };
    assert_eq!(track_suffix(&day_plays(4, 1, at)), Some(at));
    let slot = slot_of("ü 1");
    let generation_key = generation(&SpaceName::new("user_cf").unwrap(), 7);
    let vector_key = vector(&SpaceName::new("user_cf").unwrap(), 7, &prefix);
    for (key, found) in [
        (of_user(&prefix, RECORD), Some(slot)),
        (history(&prefix, 3, 0), Some(slot)),
        (wait.clone(), Some(slot)),
        (vector_key, Some(slot)),
        (generation_key, None),
        (total_plays(at), None),
        (SPLIT.to_vec(), None),
    ] {
        assert_eq!(slot_of_row(&key), found, "{}", describe(&key));
        assert_eq!(is_record(&key), key == of_user(&prefix, RECORD));
        let noted = note(9, &key);
        assert_eq!(noted_key(&noted), Some(&key[..]));
        assert!(notes_from(9) < noted && noted < notes_from(10) && noted[..] < NOTES_END[..]);
    }
    assert_eq!(user_id_of(&prefix), Some(id));
    assert_eq!(describe(&history(&prefix, 0, 0)), "user ü 1, history");
}
