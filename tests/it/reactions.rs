//! What listeners do is obeyed by the very next list: skips, follows, saves, and events that arrive late.

use segue::pipeline::recipe::{RecipePatch, Source};
use segue::pipeline::request::Recommendation;
use segue::types::{Action, ArtistId, FeedbackEvent, GenerationId, Timestamp, TrackId, User};

use crate::discovery::{Place, event, only};
use crate::support::{AS_OF, id, space};

/// A time some minutes before the requests.
fn minutes_ago(minutes: i64) -> Timestamp {
    Timestamp(AS_OF.0 - 60_000 * minutes)
}

#[test]
fn a_list_after_three_energetic_tracks_were_skipped_is_calmer() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let energy = |id: &TrackId| f64::from(tracks[id].audio.energy.unwrap_or(0.5));
    // Without the skipped ones: that the loudest are gone is not what counts.
    let mean = |list: &Recommendation, skipped: &[&TrackId]| {
        let others = list.tracks.iter().map(|track| &track.track_id).filter(|id| !skipped.contains(id));
        let energies: Vec<f64> = others.map(energy).collect();
        energies.iter().sum::<f64>() / energies.len() as f64
    };
    // Tracks sound as energetic as they are said to be, as real ones do: a turn of the sound they had.
    let mut sounds = place.world.audio_vectors.clone();
    for row in &mut sounds {
        let turn = energy(&id(&row.id)) as f32 * std::f32::consts::FRAC_PI_2;
        let length = row.vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.vector.iter_mut().for_each(|x| *x *= 0.3);
        row.vector[0] += length * turn.cos();
        row.vector[1] += length * turn.sin();
    }
    place.engine.upsert_vectors(&space("audio"), GenerationId::STATIC, sounds).unwrap();
    let (mut before, mut after, users) = (0.0, 0.0, &place.world.users[..40]);
    for user in users {
        let user = user.user_id.as_str();
        let calm = || RecipePatch { exploration_rate: Some(0.0), n: Some(20), ..RecipePatch::default() };
        let first = place.ask(user, "made_for_you", calm());
        let mut loud: Vec<&TrackId> = first.tracks.iter().map(|track| &track.track_id).collect();
        loud.sort_by(|a, b| energy(b).total_cmp(&energy(a)));
        let skips = loud.iter().take(3).zip(1_i64..).map(|(&track, at)| FeedbackEvent {
            track_id: Some(track.clone()),
            ..event(user, Action::Skip, Timestamp(AS_OF.0 - 60_000 * at))
        });
        place.engine.feedback(skips.collect()).unwrap();
        let next = place.ask(user, "made_for_you", calm());
        assert!(loud[..3].iter().all(|skipped| next.tracks[0].track_id != **skipped), "{user}");
        before += mean(&first, &loud[..3]);
        after += mean(&next, &loud[..3]);
    }
    let (before, after) = (before / users.len() as f64, after / users.len() as f64);
    assert!(after < before - 0.01, "mean energy {before:.3}, then {after:.3}");
}

#[test]
fn a_followed_artist_has_its_releases_in_the_next_radar_until_it_is_unfollowed() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let radar = |user: &User| place.ask(user.user_id.as_str(), "release_radar", RecipePatch::default());
    let followed = |list: &Recommendation, artist: &ArtistId| {
        let by = |id: &TrackId| tracks[id].artists.iter().any(|by| by.id == *artist);
        let said = |reason: &str| reason.ends_with("whom you follow");
        list.tracks.iter().filter(|listed| by(&listed.track_id) && said(&listed.reason)).count()
    };
    let mut obeyed = 0;
    for user in &place.world.users {
        let list = radar(user);
        // An artist near theirs with a release; what is only near comes behind what is followed.
        let releases = list.tracks.iter().rev().filter(|listed| listed.reason.contains("new"));
        let artists = releases.map(|listed| &tracks[&listed.track_id].artists[0].id);
        let is_stranger = |artist: &&ArtistId| !user.followed_artists.contains(artist);
        let Some(artist) = artists.filter(is_stranger).find(|artist| followed(&list, artist) == 0).cloned()
        else {
            continue;
        };
        let says = |action, minutes| FeedbackEvent {
            artist_id: Some(artist.clone()),
            ..event(user.user_id.as_str(), action, minutes_ago(minutes))
        };
        place.engine.feedback(vec![says(Action::FollowArtist, 2)]).unwrap();
        assert!(followed(&radar(user), &artist) > 0, "{} follows {artist}", user.user_id);
        place.engine.feedback(vec![says(Action::UnfollowArtist, 3)]).unwrap();
        assert!(
            followed(&radar(user), &artist) > 0,
            "what was decided before, and arrives late, undoes nothing"
        );
        place.engine.feedback(vec![says(Action::UnfollowArtist, 1)]).unwrap();
        assert_eq!(followed(&radar(user), &artist), 0, "{} unfollowed {artist}", user.user_id);
        obeyed += 1;
    }
    assert!(obeyed > 30, "only {obeyed} listeners had a stranger in their radar");
}

#[test]
fn what_is_saved_is_what_the_next_list_is_near_to() {
    let place = Place::new();
    let tracks = place.world.by_id();
    let trained: Vec<&TrackId> = place.world.tracks.iter().map(|track| &track.track_id).step_by(5).collect();
    for (number, saved) in trained.iter().step_by(11).take(20).enumerate() {
        let user = format!("new-{number}");
        place.engine.upsert_users(vec![User::unknown(id(user.clone()))]).unwrap();
        let does = |action, minutes| FeedbackEvent {
            track_id: Some((*saved).clone()),
            ..event(&user, action, minutes_ago(minutes))
        };
        let because = |list: &Recommendation| {
            let title = &tracks[saved].title;
            list.tracks.iter().filter(|listed| listed.reason.contains(title.as_str())).count()
        };
        assert_eq!(because(&place.ask(&user, "anywhere", only(Source::Content))), 0);
        place.engine.feedback(vec![does(Action::Save, 9)]).unwrap();
        let near = place.ask(&user, "anywhere", only(Source::Content));
        assert!(because(&near) >= 10, "{user} saved {saved}: {} of {}", because(&near), near.tracks.len());
    }
}

#[test]
fn a_late_event_undoes_no_newer_one() {
    let place = Place::new();
    let tracks = place.world.by_id();
    for user in &place.world.users[..20] {
        let name = user.user_id.as_str();
        let list = |id: &TrackId| {
            let list = place.ask(name, "top_mixes", RecipePatch::default());
            let recording = &tracks[id].recording_id;
            list.tracks.iter().filter(|listed| tracks[&listed.track_id].recording_id == *recording).count()
        };
        let first = place.ask(name, "top_mixes", RecipePatch::default());
        let Some(track) = first.tracks.first().map(|listed| listed.track_id.clone()) else { continue };
        let does = |action, minutes| FeedbackEvent {
            track_id: Some(track.clone()),
            ..event(name, action, minutes_ago(minutes))
        };
        place.engine.feedback(vec![does(Action::HideTrack, 5)]).unwrap();
        place.engine.feedback(vec![does(Action::UnhideTrack, 60)]).unwrap();
        assert_eq!(list(&track), 0, "{name} hid {track} after it was unhidden");
    }
}
