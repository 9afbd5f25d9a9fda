//! Lists of one surface for many listeners (PIPELINE.md §11).

use super::request::RecommendRequest;
use crate::error::Result;
use crate::types::{Surface, Timestamp, UserId};

/// Which lists.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// Where they will be shown; chooses the recipe.
    pub surface: Surface,
    /// The time of all lists.
    pub as_of: Timestamp,
    /// `name` or `name@version` instead of the surface's recipe.
    pub recipe: Option<String>,
}

impl BatchRequest {
    /// Checks the time.
    ///
    /// # Errors
    /// `InvalidField`.
    pub fn validate(&self) -> Result<()> {
        self.as_of.validate("as_of")
    }

    /// The request for one listener. Surface and ISO week make its id: a list of the same week that is made again, on the
    /// same state, is the same list.
    #[must_use]
    pub fn request_for(&self, user: &UserId) -> RecommendRequest {
        let mut request = RecommendRequest::new(user.clone(), self.surface.clone());
        request.as_of = Some(self.as_of);
        request.recipe.clone_from(&self.recipe);
        request.request_id =
            Some(format!("batch/{}/{}/{user}", self.surface.as_str(), self.as_of.iso_week()));
        request
    }
}
