//! Calls that take as long as there is to read: tried once, and not cut off.

use std::time::Duration;

use tonic::Status;

use super::connection::Client;
use crate::api::proto as pb;
use crate::error::{Error, Result};
use crate::node::CheckReport;
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::Recommendation;
use crate::types::{Part, UserId, slot_of};

/// How long reading everything on every node may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(6 * 3_600);

/// Checks that listeners are of the part that was asked for: a server that does not know parts answers with all.
///
/// # Errors
/// `Conflict` naming the first that is not.
pub(super) fn in_part<'u>(part: Part, users: impl IntoIterator<Item = &'u UserId>) -> Result<()> {
    match users.into_iter().find(|user| !part.contains(slot_of(user.as_str()))) {
        None => Ok(()),
        Some(user) => Err(Error::Conflict(format!(
            "the server does not know parts of its listeners: upgrade it. part=`{part}`, user_id=`{user}`"
        ))),
    }
}

impl Client {
    /// Lists for all listeners of the request's part after one, in the order of [`crate::Segue::list_users`], until `take` returns false. A broken
    /// connection is an error: call again with the last listener whose list was taken, which asks another server if there are several.
    ///
    /// # Errors
    /// The server's, and `Unavailable` when it cannot be reached; those of `take`.
    pub fn recommend_all(
        &self,
        request: &BatchRequest,
        after: Option<&UserId>,
        mut take: impl FnMut(Recommendation) -> Result<bool>,
    ) -> Result<()> {
        let message = pb::RecommendAllRequest {
            surface: request.surface.clone().into(),
            as_of_ms: Some(request.as_of.0),
            recipe: request.recipe.clone(),
            after_user_id: after.map(ToString::to_string),
            part: request.part.number().into(),
            parts: request.part.of().into(),
        };
        let asked = self.servers.asked();
        let failed = |status: Status| self.failed(asked, &status);
        let mut stub = self.recommender_stub();
        let mut lists = self.runtime.block_on(stub.recommend_all(message)).map_err(failed)?.into_inner();
        while let Some(list) = self.runtime.block_on(lists.message()).map_err(failed)? {
            let list: Recommendation = list.try_into()?;
            in_part(request.part, &list.user_id)?;
            if !take(list)? {
                break;
            }
        }
        Ok(())
    }

    /// See [`crate::Segue::compare_replicas`]. Waits for up to six hours; tried once.
    ///
    /// # Errors
    /// As above.
    pub fn compare_replicas(&self) -> Result<CheckReport> {
        let mut request = tonic::Request::new(pb::ClusterCheckRequest {});
        request.set_timeout(CHECK_TIMEOUT);
        let asked = self.servers.asked();
        let reply = self.runtime.block_on(self.cluster_stub().check(request));
        reply.map(|reply| reply.into_inner().into()).map_err(|status| self.failed(asked, &status))
    }
}
