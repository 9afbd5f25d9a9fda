//! Calls that take as long as there is to read: tried once, and not cut off.

use std::time::Duration;

use super::connection::Client;
use crate::api::proto as pb;
use crate::api::status::from_status;
use crate::error::Result;
use crate::node::CheckReport;
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::Recommendation;
use crate::types::UserId;

/// How long reading everything on every node may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(6 * 3_600);

impl Client {
    /// Lists for all listeners after one, in the order of [`crate::Segue::list_users`], until `take` returns false. A broken
    /// connection is an error: call again with the last listener whose list was taken.
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
        };
        let mut stub = self.recommender_stub();
        let begun = self.runtime.block_on(stub.recommend_all(message));
        let mut lists = begun.map_err(|status| from_status(&status))?.into_inner();
        while let Some(list) =
            self.runtime.block_on(lists.message()).map_err(|status| from_status(&status))?
        {
            if !take(list.try_into()?)? {
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
        let reply = self.runtime.block_on(self.cluster_stub().check(request));
        reply.map(|reply| reply.into_inner().into()).map_err(|status| from_status(&status))
    }
}
