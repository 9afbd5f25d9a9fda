//! A leader that stands still for a while, and does not know it.

use std::thread;
use std::time::Duration;

use segue::types::{Action, FeedbackEvent, User, UserId};

use super::history::Clients;
use super::servers::{endpoints, leader, number, replicas_are_equal, request, settled, three, tracks, until};
use crate::support::id;

#[test]
fn a_leader_that_stood_still_reads_nothing_stale_when_it_goes_on() {
    let (nodes, world) = three();
    let by_id = world.by_id();
    let stopped = leader(&nodes, "users-0");
    let other = (stopped + 1) % 3;
    let listener = &world.users[3].user_id;
    let sleeper = nodes[stopped].client();
    let list = tracks(&sleeper.recommend(request(listener)).unwrap());
    let artist = by_id[list.first().unwrap()].artists[0].id.clone();

    let clients = Clients::start(&endpoints(&nodes), "pause");
    nodes[stopped].running().signal("-STOP");
    until("another leads", || {
        // Nobody answers for the one that stands still; the others say who leads.
        let report = nodes[other].client().cluster_status().ok()?;
        report.replicas.iter().any(|it| it.group == "users-0" && it.role == "leader").then_some(())
    });
    let event = FeedbackEvent {
        artist_id: Some(artist.clone()),
        ..FeedbackEvent::new(listener.clone(), Action::BlockArtist)
    };
    until("the block is acknowledged", || nodes[other].client().feedback(vec![event.clone()]).ok());
    let news: UserId = id("written-meanwhile");
    nodes[other].client().upsert_users(vec![User::unknown(news.clone())]).unwrap();
    // These wait in its sockets and are the first thing it sees.
    let (lists, known) = thread::scope(|scope| {
        let lists: Vec<_> = (0..4).map(|_| scope.spawn(|| sleeper.recommend(request(listener)))).collect();
        let known = scope.spawn(|| sleeper.user(&news));
        thread::sleep(Duration::from_millis(number("SEGUE_CLUSTER_STOP_MS", 3_000)));
        nodes[stopped].running().signal("-CONT");
        let lists: Vec<_> = lists.into_iter().map(|list| list.join().unwrap()).collect();
        (lists, known.join().unwrap())
    });
    let mut answered = 0;
    for list in lists.into_iter().flatten() {
        answered += 1;
        let wrong =
            tracks(&list).into_iter().find(|track| by_id[track].artists.iter().any(|it| it.id == artist));
        assert_eq!(wrong, None, "the block was acknowledged before it went on");
    }
    if let Err(error) = known {
        assert_ne!(error.kind(), segue::ErrorKind::NotFound, "a stale read: {error}");
    }
    settled(&nodes[stopped].client(), 3);
    eprintln!("{answered} of 4 lists answered by the one that stood still");
    assert!(nodes[stopped].client().user(&news).is_ok());
    let seen = clients.check();
    assert!(seen.writes > 20 && seen.reads > 20 && seen.rules > 10, "too little was asked: {seen:?}");
    replicas_are_equal(&nodes[stopped], 3);
}
