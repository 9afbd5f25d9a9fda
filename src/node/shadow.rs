//! The shadow of what is served: a second recipe is asked the same request after the answer was given.
//!
//! The request hands it over and goes on: it never waits, and nothing of the shadow can fail it. A thread of its own makes
//! the lists, one at a time; what comes while [`WAITING_MAX`] wait is dropped and counted.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use tracing::{debug, warn};

use super::engine::Inner;
use crate::error::{Error, Result};
use crate::pipeline::experiment::Experiment;
use crate::pipeline::recipe::RecipeBook;
use crate::pipeline::recommend::recommend;
use crate::pipeline::request::{RecommendRequest, Recommendation};
use crate::types::{Deadline, TrackId};

/// Requests that may wait for the shadow.
const WAITING_MAX: usize = 64;
/// How long one list may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A request that was answered, and what was served.
struct Shadowed {
    experiment: Experiment,
    request: RecommendRequest,
    served: Vec<TrackId>,
}

/// What waits for the shadow, and who works on it.
pub(super) struct Shadows {
    waiting: Sender<Box<Shadowed>>,
    taken: Receiver<Box<Shadowed>>,
    running: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Default for Shadows {
    fn default() -> Self {
        let (waiting, taken) = bounded(WAITING_MAX);
        Self { waiting, taken, running: Mutex::default() }
    }
}

impl Shadows {
    /// Starts the thread; it ends by itself when the node is gone.
    pub(super) fn start(&self, node: Weak<Inner>) -> Result<()> {
        let (stop, stopped) = bounded(1);
        let taken = self.taken.clone();
        let thread = std::thread::Builder::new().name("segue-shadow".to_owned());
        let thread = thread.spawn(move || run(&node, &taken, &stopped)).map_err(|source| Error::Io {
            action: "starting a thread".into(),
            path: "segue-shadow".into(),
            source,
        })?;
        *self.running.lock() = Some((stop, thread));
        Ok(())
    }

    /// Waits until the list under way is made; the rest is left.
    pub(super) fn stop(&self) {
        let Some((stop, thread)) = self.running.lock().take() else { return };
        let _ = stop.try_send(());
        if thread.join().is_err() {
            warn!("the shadow's thread had panicked");
        }
    }
}

fn run(node: &Weak<Inner>, taken: &Receiver<Box<Shadowed>>, stopped: &Receiver<()>) {
    loop {
        let shadowed = crossbeam_channel::select! {
            recv(stopped) -> _ => return,
            recv(taken) -> shadowed => shadowed,
        };
        let (Ok(shadowed), Some(node)) = (shadowed, node.upgrade()) else { return };
        if node.closing.load(Ordering::Acquire) {
            return;
        }
        let Shadowed { experiment, request, served } = *shadowed;
        match node.shadow_list(&request) {
            Ok(list) => {
                let tracks: Vec<TrackId> = list.tracks.into_iter().map(|track| track.track_id).collect();
                node.tallies.compared(&experiment, &served, &tracks);
            }
            Err(error) => {
                debug!(%error, surface = %experiment.surface, "the shadow failed");
                node.tallies.failed(&experiment);
            }
        }
    }
}

impl Inner {
    /// Takes note of a list that is answered: counts it in its arm, and hands it to the shadow when it is asked as well.
    pub(super) fn note_served(
        &self,
        recipes: &RecipeBook,
        request: &RecommendRequest,
        list: &Recommendation,
    ) {
        if request.recipe.is_some() {
            return;
        }
        let Some(experiment) = recipes.experiment(&request.surface) else { return };
        if let Some(assignment) = &list.experiment {
            self.tallies.served(experiment, &assignment.arm, &request.user_id);
        }
        let Some(shadow) = experiment.shadow_of(&list.request_id) else { return };
        let request = RecommendRequest {
            recipe: Some(shadow.recipe.clone()),
            explain: false,
            offers: false,
            min_token: None,
            ..request.clone()
        };
        let served = list.tracks.iter().map(|track| track.track_id.clone()).collect();
        let shadowed = Box::new(Shadowed { experiment: experiment.clone(), request, served });
        if self.shadows.waiting.try_send(shadowed).is_err() {
            self.tallies.dropped(experiment);
        }
    }

    fn shadow_list(&self, request: &RecommendRequest) -> Result<Recommendation> {
        let mut reader = self.reader(request.generation)?;
        reader.deadline = Deadline::after(TIMEOUT);
        recommend(&reader, request)
    }
}
