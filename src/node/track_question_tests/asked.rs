//! A reader for which some shards are elsewhere, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::world::{AS_OF, STATIC, World, space};
use crate::error::{Error, Result};
use crate::filter::{RuleClass, TrackFilter};
use crate::node::engine::Segue;
use crate::pipeline::portrait::portrait;
use crate::pipeline::quality::look;
use crate::pipeline::reader::{Caches, Reader};
use crate::pipeline::recommend::{recommend, run};
use crate::pipeline::request::{
    ExplainRequest, RecommendRequest, RequestContext, SearchRequest, SimilarRequest,
};
use crate::pipeline::tracks::{
    Answering, ShardVersion, TrackAnswer, TrackQuestion, TrackShards, TracksElsewhere,
};
use crate::pipeline::{explain_request, search, similar_request, statistics};
use crate::storage::track_shard::TrackView;
use crate::types::{Deadline, Surface, TrackId};

/// Replies by name, as text that has every bit of every number.
pub(super) type Replies = Vec<(String, String)>;

/// Shards that are asked, by bytes, and have memory of their own.
pub(super) struct Asked {
    far: Arc<Far>,
    places: Vec<usize>,
}

pub(super) struct Far {
    views: Vec<Arc<TrackView>>,
    caches: Caches,
    questions: AtomicUsize,
    /// How often each kind was asked.
    kinds: Mutex<BTreeMap<String, usize>>,
    is_silent: bool,
    /// There is nobody to ask from the beginning.
    is_missing: bool,
}

impl TracksElsewhere for Far {
    fn ask(&self, shard: u16, question: &TrackQuestion, deadline: Deadline) -> Result<TrackAnswer> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let kind = format!("{question:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        *self.kinds.lock().entry(kind).or_default() += 1;
        if self.is_silent {
            return Err(Error::Unavailable("nobody has it".to_owned()));
        }
        let view = self.views.iter().find(|view| view.shard.0 == shard).unwrap();
        let question = TrackQuestion::decode(&question.encode())?;
        let answer = Answering { view, caches: &self.caches, deadline }.answer(&question)?;
        TrackAnswer::decode(&answer.encode())
    }
}

impl Asked {
    /// The newest versions there are; the shards at `places` are elsewhere.
    pub(super) fn new(engine: &Segue, places: &[usize]) -> Self {
        Self::of(engine.inner().tracks.owners().unwrap().all_here().unwrap().to_vec(), false)
            .elsewhere(places)
    }

    /// The same versions with the shards at `places` elsewhere, and memory of their own.
    pub(super) fn elsewhere(&self, places: &[usize]) -> Self {
        Self { places: places.to_vec(), ..Self::of(self.far.views.clone(), false) }
    }

    /// The same where nobody can be asked.
    pub(super) fn silent(&self) -> Self {
        Self { places: self.places.clone(), ..Self::of(self.far.views.clone(), true) }
    }

    /// The same where it is known that nobody can be asked.
    pub(super) fn missing(&self) -> Self {
        let (views, caches) = (self.far.views.clone(), Caches::default());
        let far = Far {
            views,
            caches,
            questions: 0.into(),
            kinds: Mutex::default(),
            is_silent: true,
            is_missing: true,
        };
        Self { far: Arc::new(far), places: self.places.clone() }
    }

    fn of(views: Vec<Arc<TrackView>>, is_silent: bool) -> Self {
        let caches = Caches::default();
        let far =
            Far { views, caches, questions: 0.into(), kinds: Mutex::default(), is_silent, is_missing: false };
        Self { far: Arc::new(far), places: Vec::new() }
    }

    pub(super) fn questions(&self) -> usize {
        self.far.questions.load(Ordering::Relaxed)
    }

    /// The same by kind, since this was asked last.
    pub(super) fn take_kinds(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.far.kinds.lock())
    }

    /// A reader of these shards.
    pub(super) fn reader<'a>(&self, engine: &'a Segue, caches: &'a Caches) -> Reader<'a> {
        let far = Arc::clone(&self.far) as Arc<dyn TracksElsewhere>;
        let far = (!self.far.is_missing).then_some(&far);
        with((engine, caches), &self.far.views, &self.places, far)
    }
}

/// A reader for which the shards at `places` are where `elsewhere` asks; without it, missing.
pub(super) fn with<'a>(
    (engine, caches): (&'a Segue, &'a Caches),
    views: &[Arc<TrackView>],
    places: &[usize],
    elsewhere: Option<&Arc<dyn TracksElsewhere>>,
) -> Reader<'a> {
    let version = |(place, view): (usize, &Arc<TrackView>)| match (places.contains(&place), elsewhere) {
        (false, _) => ShardVersion::Here(Arc::clone(view)),
        (true, Some(elsewhere)) => ShardVersion::Elsewhere(view.outline(), Arc::clone(elsewhere)),
        (true, None) => ShardVersion::Missing(view.outline()),
    };
    let tracks = TrackShards::new(views.iter().enumerate().map(version).collect()).unwrap();
    // Merges go on beside the test, and count.
    let applied = Vec::new();
    Reader { tracks, caches, applied, ..engine.inner().reader(None).unwrap() }
}

/// What is replied when nothing is known before.
pub(super) fn replies(engine: &Segue, world: &World, asked: &Asked) -> Replies {
    let caches = Caches::default();
    replies_of(engine, world, || asked.reader(engine, &caches))
}

/// What readers reply, each a request.
pub(super) fn replies_of<'a>(engine: &Segue, world: &World, reader: impl Fn() -> Reader<'a>) -> Replies {
    let mut all = Vec::new();
    let mut add = |name: String, reply: String| all.push((name, reply));
    let surfaces =
        ["discover_weekly", "radio", "release_radar", "daily_mix", "top_mixes", "made_for_you", "home"];
    for (at, user) in world.users.iter().enumerate() {
        for surface in surfaces {
            let id = |at: usize| TrackId::new(format!("t{at}")).unwrap();
            let request = RecommendRequest {
                as_of: Some(AS_OF),
                request_id: Some(format!("{at}/{surface}")),
                explain: true,
                exact: at % 2 == 0,
                offers: at % 3 == 0,
                seeds: if at % 7 == 3 { vec![id(at * 11), id(at * 11 + 5)] } else { Vec::new() },
                ..RecommendRequest::new(user.user_id.clone(), Surface::new(surface).unwrap())
            };
            let list = recommend(&reader(), &request);
            add(format!("list {at} {surface}"), format!("{list:?}"));
            if at % 5 == 1 {
                let asked = ExplainRequest { request, track_id: id(at * 2) };
                let explained = explain_request::explain(&reader(), &asked);
                add(format!("explained {at}"), format!("{explained:?}"));
            }
        }
        let seen = portrait(&reader(), &user.user_id, AS_OF, &RequestContext::default());
        add(format!("portrait {at}"), format!("{seen:?}"));
    }
    searches(engine, world, &reader, &mut add);
    let reader = reader();
    let derived = statistics::build(&reader, &|| true).map(|found| found.map(|found| found.encode()));
    add("statistics".to_owned(), format!("{derived:?}"));
    all
}

/// What is asked beside lists: by id, by page, how many.
fn looks(world: &World, reader: &Reader<'_>, add: &mut impl FnMut(String, String)) {
    let mut ids: Vec<TrackId> = world.tracks.iter().step_by(7).map(|track| track.track_id.clone()).collect();
    ids.push(TrackId::new("nobody").unwrap());
    add("known".to_owned(), format!("{:?}", reader.look_up(&ids)));
    for (place, first, most) in (0..reader.tracks.count()).zip([0, 17, 250]).map(|(a, b)| (a, b, 90)) {
        let page = reader.page(place, first, most).unwrap();
        let page: Vec<_> = page.iter().map(|(ordinal, row)| (*ordinal, &row.track)).collect();
        add(format!("page {place}"), format!("{page:?}"));
    }
    add("live".to_owned(), format!("{:?}", reader.live_tracks()));
    let vectors = reader.count_vectors(&space("audio"), STATIC).unwrap();
    assert!(vectors > 500);
    add("vectors".to_owned(), vectors.to_string());
}

fn searches<'a>(
    engine: &Segue,
    world: &World,
    reader: &impl Fn() -> Reader<'a>,
    add: &mut impl FnMut(String, String),
) {
    let excluded = world.tracks.iter().skip(4).step_by(6).map(|track| track.track_id.clone()).collect();
    let filters = [
        TrackFilter::default(),
        TrackFilter { exclude_tracks: excluded, ..TrackFilter::default() },
        TrackFilter { genres: vec!["rock".into()], popularity: Some((20.0, 90.0)), ..TrackFilter::default() },
    ];
    let generation = engine.inner().meta.shard.state().active().map(|info| info.id);
    for (at, filter) in filters.iter().cycle().take(12).enumerate() {
        let spaces = [("audio", &world.audio_vectors), ("track_cf", &world.track_vectors)];
        let (name, rows) = spaces[at % 2];
        let spec = engine.inner().space(&space(name)).unwrap();
        let generation = generation.filter(|_| spec.generational).unwrap_or(STATIC);
        let text = ["title", "artist 7", ""][at % 3].to_owned();
        let vector = (at % 4 != 3).then(|| rows[at * 7].vector.clone());
        let exact = at % 2 == 0;
        let request = SearchRequest {
            vector,
            k: 57,
            exact,
            text: Some(text),
            filter: filter.clone(),
            ..SearchRequest::new(space(name))
        };
        let found = search::search(&reader(), &spec, generation, &request, AS_OF);
        add(format!("search {at}"), format!("{found:?}"));
        let id = |at: usize| TrackId::new(format!("t{at}")).unwrap();
        let request = SimilarRequest {
            user_id: Some(world.users[at].user_id.clone()),
            as_of: Some(AS_OF),
            filter: filter.clone(),
            exact,
            ..SimilarRequest::new(vec![(id(at * 5), 1.0), (id(at * 3 + 1), -0.5)])
        };
        let found = similar_request::similar(&reader(), &spec, generation, &request);
        add(format!("similar {at}"), format!("{found:?}"));
    }
    looks(world, &reader(), add);
    for (at, user) in world.users.iter().enumerate().take(6) {
        let request = RecommendRequest {
            as_of: Some(AS_OF),
            request_id: Some("look".to_owned()),
            ..RecommendRequest::new(user.user_id.clone(), Surface::new("home").unwrap())
        };
        let reader = reader();
        let outcome = run(&reader, &request, false).unwrap();
        let heard = |track| outcome.plan.listener.state.heard.last_of(track);
        let numbers = look(&reader, &outcome.plan.recipe, heard, AS_OF, &outcome.listed);
        let count = |base: crate::pipeline::tracks::Base| base.bits.count();
        let open = reader.base(0, RuleClass::Live, &TrackFilter::default()).map(count);
        add(format!("look {at}"), format!("{numbers:?} {open:?}"));
    }
}
