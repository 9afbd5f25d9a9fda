//! Lists of one surface for many listeners (PIPELINE.md §11).

use super::request::RecommendRequest;
use crate::error::Result;
use crate::types::{Part, Surface, Timestamp, UserId};

/// Longer ids of requests are refused.
const REQUEST_ID_BYTES_MAX: usize = 256;

/// Which lists.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// Where they will be shown; chooses the recipe.
    pub surface: Surface,
    /// The time of all lists.
    pub as_of: Timestamp,
    /// `name` or `name@version` instead of the surface's recipe.
    pub recipe: Option<String>,
    /// For whom: all listeners, or one of several parts.
    pub part: Part,
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
        request.request_id = Some(self.request_id(user));
        request.once = true;
        request
    }

    fn request_id(&self, user: &UserId) -> String {
        let id = format!("batch/{}/{}/{user}", self.surface.as_str(), self.as_of.iso_week());
        if id.len() <= REQUEST_ID_BYTES_MAX { id } else { format!("batch/{}", blake3::hash(id.as_bytes())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-02 is a Monday: the first day of ISO week 45.
    #[test]
    fn a_week_has_one_request_a_listener_and_surface() {
        let user = UserId::new("u1").expect("valid");
        let id = |at: &str, surface: &str| {
            let surface = Surface::new(surface).expect("valid");
            let as_of = at.parse().expect("a time");
            BatchRequest { surface, as_of, recipe: None, part: Part::WHOLE }.request_for(&user).request_id
        };
        let monday = id("2026-11-02T00:00:00Z", "discover_weekly");
        assert_eq!(id("2026-11-08T23:59:59Z", "discover_weekly"), monday, "the same week's Sunday");
        assert_ne!(id("2026-11-01T23:59:59Z", "discover_weekly"), monday, "the week before");
        assert_ne!(id("2026-11-09T00:00:00Z", "discover_weekly"), monday, "the week after");
        assert_ne!(id("2026-11-02T00:00:00Z", "daily_mix"), monday);
        // The last days of a year may belong to the first week of the next.
        assert_eq!(id("2026-12-31T12:00:00Z", "radio"), id("2027-01-03T12:00:00Z", "radio"));
    }

    #[test]
    fn every_listener_and_surface_that_can_be_has_a_request_of_their_own() {
        for len in [1, 200, 256] {
            let name = |letter: &str| letter.repeat(len);
            let lists = BatchRequest {
                surface: Surface::new(name("s")).expect("valid"),
                as_of: Timestamp(1_793_491_200_000),
                recipe: None,
                part: Part::WHOLE,
            };
            lists.validate().expect("valid");
            let (a, b) = (UserId::new(name("a")).expect("valid"), UserId::new(name("b")).expect("valid"));
            for user in [&a, &b] {
                lists.request_for(user).validate(&crate::config::Limits::default()).expect("valid");
            }
            assert_ne!(lists.request_for(&a).request_id, lists.request_for(&b).request_id);
        }
    }
}
