//! Histories: order, idempotence, windows, served lists.

use super::*;
use crate::types::{EventId, GenerationId};

fn with_id(mut event: ResolvedEvent, id: &str) -> ResolvedEvent {
    event.event_key = Some(event_key(&EventId::new(id).unwrap()));
    event
}

fn ordinals(plays: &[PlayRecord]) -> Vec<u32> {
    plays.iter().map(|play| play.track.ordinal.0).collect()
}

#[test]
fn plays_are_newest_first_by_event_time_whatever_the_arrival() {
    let shard = TestShard::new();
    let at = |ms| Timestamp(20 * DAY_MS + ms);
    shard.record(&[play("u", 3, at(3)), play("u", 5, at(DAY_MS)), play("u", 1, at(1))]);
    shard.record(&[on_track("u", Action::Skip, 2, at(2)), play("u", 0, day(0))]);
    let view = shard.view("u");
    assert_eq!(ordinals(&view.plays), [5, 3, 2, 1, 0]);
    assert_eq!(view.plays_total, 4);
    assert_eq!(view.skips().map(|skip| (skip.track, skip.at)).collect::<Vec<_>>(), [(track(2), at(2))]);
    assert_eq!(view.heard.tracks, [0, 1, 2, 3, 5].map(track));
}

#[test]
fn an_event_is_new_once() {
    let shard = TestShard::new();
    let first = play("u", 1, day(5));
    let other_action = on_track("u", Action::Repeat, 1, day(5));
    let outcomes = shard.record(&[first.clone(), first.clone(), other_action]);
    assert_eq!(outcomes, [true, false, true]);
    let shard = shard.reopen();
    assert_eq!(shard.record(&[first.clone(), play("v", 1, day(5))]), [false, true]);
    assert_eq!(shard.view("u").plays.len(), 2);
    let again = PlayBatch {
        users: vec![user("u")],
        plays: vec![row(0, 1, day(5), PlayAction::Play), row(0, 1, day(6), PlayAction::Play)],
        unknown: Vec::new(),
    };
    assert_eq!(shard.run(UserOp::RecordPlays(again)), UserReply::Done(1), "bulk knows what feedback brought");
}

#[test]
fn an_event_with_an_id_is_new_once_though_stamped_again_after_midnight() {
    let shard = TestShard::new();
    let before = Timestamp(6 * DAY_MS - 1);
    assert_eq!(shard.record(&[with_id(play("u", 1, before), "e")]), [true]);
    assert_eq!(shard.record(&[with_id(play("u", 1, day(6)), "e")]), [false]);
    assert_eq!(
        shard.record(&[with_id(play("u", 1, day(4)), "e"), with_id(play("u", 1, day(6)), "f")]),
        [false, true]
    );
    assert_eq!(shard.view("u").plays.len(), 2);
}

#[test]
fn heard_has_the_last_time_of_every_track_and_answers_windows() {
    let shard = TestShard::new();
    shard.record(&[
        play("u", 1, day(100)),
        play("u", 1, day(90)),
        on_track("u", Action::Skip, 2, day(72)),
        on_track("u", Action::Save, 3, day(73)),
        on_track("u", Action::Unsave, 4, day(99)),
        play("u", 9, day(-400)),
    ]);
    let heard = &shard.view("u").heard;
    assert_eq!(heard.tracks, [1, 2, 3, 9].map(track));
    assert_eq!(heard.last, [day(100), day(72), day(73), day(-400)]);
    assert_eq!((heard.last_of(track(2)), heard.last_of(track(4))), (Some(day(72)), None));
    let within = |as_of, days| heard.within(day(as_of), days).map(|t| t.ordinal.0).collect::<Vec<_>>();
    assert_eq!(within(100, Some(28)), [1, 3], "72 is exactly 28 days ago: free");
    assert_eq!(within(100, None), [1, 2, 3, 9]);
    assert_eq!(within(80, Some(1)), [1], "what was heard after as_of counts as heard");
}

#[test]
fn plays_reach_back_90_days_and_10_000_events_but_heard_and_totals_do_not_end() {
    let shard = TestShard::new();
    shard.record(&[play("u", 1, day(0)), play("u", 2, day(10)), play("u", 3, day(100))]);
    let view = shard.view("u");
    assert_eq!((ordinals(&view.plays), view.plays_total), (vec![3, 2], 3));
    let users = vec![user("robot")];
    let plays: Vec<PlayRow> =
        (0..10_500).map(|n| row(0, n, Timestamp(i64::from(n) * 7), PlayAction::Play)).collect();
    for chunk in plays.chunks(1_000) {
        let batch = PlayBatch { users: users.clone(), plays: chunk.to_vec(), unknown: Vec::new() };
        assert_eq!(shard.run(UserOp::RecordPlays(batch.clone())), UserReply::Done(chunk.len() as u64));
        assert_eq!(shard.run(UserOp::RecordPlays(batch)), UserReply::Done(0));
    }
    let view = shard.view("robot");
    assert_eq!((view.plays.len(), view.heard.tracks.len(), view.plays_total), (10_000, 10_500, 10_500));
    assert_eq!((view.plays[0].track, view.plays[9_999].track), (track(10_499), track(500)));
}

#[test]
fn the_library_is_by_event_time() {
    let shard = TestShard::new();
    shard.record(&[
        on_track("u", Action::Unsave, 1, day(9)),
        on_track("u", Action::Save, 1, day(5)),
        on_track("u", Action::Unsave, 2, day(3)),
        on_track("u", Action::Save, 2, day(4)),
        on_track("u", Action::Save, 0, day(4)),
    ]);
    assert_eq!(shard.view("u").saved, [track(0), track(2)]);
}

#[test]
fn served_lists_are_kept_84_days_before_the_newest() {
    let shard = TestShard::new();
    let list = served("u", day(200), "i3", &[(4, false), (5, true)]);
    assert_eq!(
        shard.record(&[served("u", day(116), "i2", &[(3, false)]), list.clone(), list]),
        [true, true, false]
    );
    assert_eq!(shard.record(&[served("u", day(115), "i1", &[(2, false)])]), [true], "too old to be kept");
    let view = shard.view("u");
    assert_eq!(view.served.iter().map(|list| &list.impression[..]).collect::<Vec<_>>(), ["i3", "i2"]);
    assert_eq!(view.served[0].tracks[1], ServedTrack { track: track(5), explored: true });
    assert_eq!(view.served_within(day(200), 84).collect::<Vec<_>>(), [4, 5].map(track));
    assert_eq!(view.served_within(day(200), 85).collect::<Vec<_>>(), [4, 5, 3].map(track));
    let rows = shard.shard.verify().unwrap();
    shard.record(&[served("u", day(300), "i4", &[(1, false)])]);
    assert_eq!(shard.view("u").served.len(), 1);
    assert_eq!(shard.shard.verify().unwrap(), rows, "two lists left, one and a day of history came");
}

#[test]
fn exploration_succeeds_by_a_save_or_half_a_minute_after_it_was_shown() {
    let shard = TestShard::new();
    let mut short = play("u", 4, day(12));
    short.listened_ms = 29_999;
    let mut short_but_whole = play("u", 5, day(12));
    (short_but_whole.listened_ms, short_but_whole.completed) = (20_000, true);
    shard.record(&[
        served("u", day(10), "a", &[(1, true), (2, true), (3, false), (4, true), (5, true)]),
        served("u", day(11), "b", &[(6, true), (1, true)]),
        play("u", 1, day(10)),
        play("u", 2, day(9)),
        play("u", 3, day(12)),
        on_track("u", Action::Save, 6, day(12)),
        short,
        short_but_whole,
    ]);
    let outcomes = &shard.view("u").explored_outcomes;
    let outcomes: Vec<_> = outcomes.iter().map(|o| (o.at, o.track.ordinal.0, o.success)).collect();
    assert_eq!(
        outcomes,
        [
            (day(11), 6, true),
            (day(11), 1, false),
            (day(10), 1, true),
            (day(10), 2, false),
            (day(10), 4, false),
            (day(10), 5, true),
        ]
    );
}

#[test]
fn events_of_an_unknown_track_wait_for_it() {
    let shard = TestShard::new();
    let waiting = |id: &str, at| ResolvedEvent {
        track: Some(EventTrack::Unknown(track_id("late"))),
        ..play(id, 0, at)
    };
    assert_eq!(
        shard.record(&[waiting("u", day(3)), waiting("u", day(3)), waiting("v", day(4))]),
        [true, false, true]
    );
    let bulk = PlayBatch {
        users: vec![user("w"), user("u")],
        plays: Vec::new(),
        unknown: vec![
            (track_id("late"), row(1, 0, day(3), PlayAction::Play)),
            (track_id("late"), row(0, 0, day(3), PlayAction::Skip)),
            (track_id("lat"), row(0, 0, day(3), PlayAction::Play)),
        ],
    };
    assert_eq!(shard.run(UserOp::RecordPlays(bulk)), UserReply::Done(2), "u's play waits already");
    assert!(shard.view("u").plays.is_empty() && shard.shard.user_count() == 3);
    assert_eq!(shard.record(&[play("v", 7, day(4))]), [true], "v's play came again, resolved");
    let resolve = || UserOp::ResolveTracks(vec![(track_id("late"), track(7)), (track_id("none"), track(9))]);
    let shard = shard.reopen();
    assert_eq!(shard.run(resolve()), UserReply::Done(2), "u and w; v has it");
    assert_eq!(shard.run(resolve()), UserReply::Done(0));
    assert_eq!(shard.view("u").heard.tracks, [track(7)]);
    assert_eq!(shard.view("w").plays[0].action, PlayAction::Skip);
    assert_eq!(shard.view("v").plays.len(), 1);
    assert_eq!(shard.record(&[play("u", 7, day(3))]), [false], "the same event as the one that waited");
    assert_eq!(shard.shard.total_plays(track(7)).unwrap(), 2, "u and v; a skip does not count");
}

#[test]
fn a_view_is_cached_until_its_user_changes() {
    let shard = TestShard::new();
    shard.record(&[play("u", 1, day(1)), play("v", 1, day(1))]);
    let (first, again) = (shard.view("u"), shard.view("u"));
    assert!(Arc::ptr_eq(&first, &again) && shard.shard.views_read() == 1);
    shard.record(&[play("v", 2, day(1))]);
    assert!(Arc::ptr_eq(&first, &shard.view("u")), "somebody else's event");
    shard.record(&[play("u", 2, day(1))]);
    assert_eq!((first.plays.len(), shard.view("u").plays.len(), shard.shard.views_read()), (1, 2, 2));
    assert!(shard.shard.view(&user("nobody")).unwrap().is_none());
}

#[test]
fn searches_are_kept_for_export() {
    let shard = TestShard::new();
    let search = |query: &str, at| ResolvedEvent {
        query: Some(query.to_owned()),
        ..ResolvedEvent::new(user("u"), Action::Search, at)
    };
    shard.record(&[search("b", day(2)), search("ä", day(1)), search("b", day(2))]);
    let searches = shard.shard.searches(&user("u")).unwrap();
    assert_eq!(searches, [(day(1), "ä".to_owned()), (day(2), "b".to_owned())]);
}

#[test]
fn how_slots_were_chosen_is_kept_with_their_list_and_older_lists_have_none() {
    let shard = TestShard::new();
    let choice = |propensity| SlotChoice { source: 5, genre_cluster: 700, propensity, draw: 3, open: 41 };
    let shown = |propensity| ShownSlot { event: 1, position: 2, choice: choice(propensity) };
    let events = vec![play("u", 1, day(3)), served("u", day(4), "i1", &[(1, false), (5, true), (6, true)])];
    shard.run(UserOp::RecordShown(events.clone(), vec![shown(0.25)]));
    shard.record(&[served("u", day(5), "i2", &[(9, true)])]);
    let shard = shard.reopen();
    let view = shard.view("u");
    assert_eq!(view.served[1].choices, [(2, choice(0.25))]);
    assert_eq!(view.served[1].tracks[2], ServedTrack { track: track(6), explored: true });
    assert!(view.served[0].choices.is_empty());
    for wrong in [
        shown(0.0),
        shown(1.5),
        ShownSlot { position: 3, ..shown(0.5) },
        ShownSlot { event: 0, ..shown(0.5) },
    ] {
        let reply = shard.run(UserOp::RecordShown(events.clone(), vec![wrong]));
        assert!(matches!(reply, UserReply::Refused(_)), "{wrong:?}");
    }
}

/// What a list was made by, of everything that may be absent all or nothing.
fn origin(number: u64, is_full: bool) -> ListOrigin {
    ListOrigin {
        recipe: format!("radio@{number}"),
        experiment: is_full.then(|| ("arc@1".to_owned(), "B".to_owned())),
        generation: is_full.then_some(GenerationId(7)),
        seed: u64::MAX - number,
        candidates_hash: 1 << 60 | number,
        as_of: day(number as i64),
        positions: if is_full { vec![2, 5] } else { Vec::new() },
    }
}

#[test]
fn what_a_list_was_made_by_is_kept_beside_it_and_read_newest_first() {
    let shard = TestShard::new();
    let list = |at, name: &str| served("u", day(at), name, &[(0, false), (5, true)]);
    let listed = |events: Vec<ResolvedEvent>, origins| {
        let timed = TimedEvents { received: day(9), events, slots: Vec::new() };
        UserOp::RecordLists(Box::new(ListedEvents { timed, origins }))
    };
    let of = |event, origin| EventOrigin { event, origin };
    // The first track of the first shard has the place that the part which is no track has, too.
    shard.record(&[list(2, "of a program of before")]);
    let events = vec![play("u", 1, day(3)), list(4, "full"), list(3, "bare")];
    let choice = SlotChoice { source: 5, genre_cluster: 700, propensity: 0.25, draw: 3, open: 41 };
    let UserOp::RecordLists(mut entry) =
        listed(events, vec![of(2, origin(3, false)), of(1, origin(4, true))])
    else {
        unreachable!()
    };
    entry.timed.slots.push(ShownSlot { event: 1, position: 1, choice });
    let entry = UserCommand::from(UserOp::RecordLists(entry));
    assert_eq!(UserCommand::decode(1, &entry.encode()).unwrap(), entry);
    assert_eq!(shard.run(entry), UserReply::Recorded(vec![true; 3]));
    let shard = shard.reopen();
    let read = |until, limit| shard.shard.served_lists(&user("u"), day(until), limit).unwrap();
    let all = read(9, 10);
    let told: Vec<(&str, Option<&ListOrigin>)> =
        all.iter().map(|it| (it.list.impression.as_str(), it.origin.as_ref())).collect();
    let (full, bare) = (origin(4, true), origin(3, false));
    let expected = [("full", Some(&full)), ("bare", Some(&bare)), ("of a program of before", None)];
    assert_eq!(told, expected);
    assert_eq!((&all[0].choices, all[0].at), (&vec![(1, choice)], day(4)));
    assert!(all.iter().all(|it| it.list.tracks.len() == 2 && it.list.tracks[0].track == track(0)));
    assert_eq!((read(3, 10), read(9, 1)), (all[1..].to_vec(), all[..1].to_vec()));
    assert_eq!((read(1, 10), read(9, 0)), (Vec::new(), Vec::new()));
    // The view that lists are made from is the same as without it.
    let served = &shard.view("u").served;
    assert_eq!((served.len(), served[0].tracks.len(), &served[0].choices), (3, 2, &all[0].choices));
    // Of an event that is no list, of none, and of other positions than were shown.
    let short = ListOrigin { positions: vec![2], ..origin(4, true) };
    for wrong in [of(0, origin(1, false)), of(3, origin(1, false)), of(1, short)] {
        let events = vec![play("u", 1, day(5)), list(6, "more"), list(7, "more")];
        let reply = shard.run(listed(events, vec![wrong]));
        assert!(matches!(reply, UserReply::Refused(_)), "{reply:?}");
    }
}

#[test]
fn new_entries_are_written_only_where_all_know_them_and_only_where_they_say_more() {
    let new = |events: Vec<ResolvedEvent>, origins: Vec<EventOrigin>| NewEvents {
        events,
        origins,
        ..NewEvents::default()
    };
    let list = || served("u", day(4), "i", &[(1, false), (2, false)]);
    let known = || vec![EventOrigin { event: 0, origin: origin(1, true) }];
    let record = |new, known| UserCommand::from(UserOp::record(new, (known, day(4)))).encode()[0];
    let block = || on_artist("u", Action::BlockArtist, "a", day(4));
    // By what every replica reads: 1 and 2, 3, 4.
    for (events, origins, versions) in [
        (vec![list()], known(), [1, 1, 1, 4]),
        (vec![list()], Vec::new(), [1, 1, 1, 1]),
        (vec![block()], Vec::new(), [1, 1, 3, 3]),
        (vec![list(), block()], known(), [1, 1, 3, 4]),
    ] {
        let written = [1, 2, 3, 4].map(|known| record(new(events.clone(), origins.clone()), known));
        assert_eq!(written, versions, "{events:?}");
    }
}

#[test]
fn statistics_are_kept_and_every_listener_is_visited_once() {
    let shard = TestShard::new();
    let names: Vec<String> = (0..300).map(|i| format!("u{i}")).collect();
    shard.record(&names.iter().map(|name| play(name, 1, day(3))).collect::<Vec<_>>());
    shard.run(UserOp::PutStatistics(vec![1, 2, 3]));
    let shard = shard.reopen();
    assert_eq!(shard.shard.statistics().as_deref(), Some(&[1, 2, 3][..]));
    let visited = |most| {
        let mut seen = std::collections::BTreeSet::new();
        let all = UserShards::new(vec![shard.shard.clone()]).for_each_view(most, |view| {
            assert_eq!(view.plays.len(), 1);
            assert!(seen.insert(view.user.user_id));
            Ok::<_, UserShardError>(std::ops::ControlFlow::Continue(()))
        });
        all.unwrap();
        seen.len()
    };
    assert_eq!(visited(1_000), 300);
    assert!((40..160).contains(&visited(100)), "an even sample of at most about a hundred");
}
