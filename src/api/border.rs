//! What a request leaves open and the border fills in: the time, and an id. Behind the border nothing reads a clock.

use std::hash::{BuildHasher, RandomState};

use crate::pipeline::request::{RecommendRequest, SimilarRequest};
use crate::types::{FeedbackEvent, Timestamp};

/// Fills in `as_of` (now) and `request_id` (made up) where absent.
#[must_use]
pub fn stamp_recommend(mut request: RecommendRequest) -> RecommendRequest {
    let now = *request.as_of.get_or_insert_with(Timestamp::now);
    request.request_id.get_or_insert_with(|| new_request_id(now));
    request
}

/// Fills in `as_of` (now) where absent.
#[must_use]
pub fn stamp_similar(mut request: SimilarRequest) -> SimilarRequest {
    request.as_of.get_or_insert_with(Timestamp::now);
    request
}

/// Fills in the time of arrival where an event brings none.
#[must_use]
pub fn stamp_events(mut events: Vec<FeedbackEvent>) -> Vec<FeedbackEvent> {
    let now = Timestamp::now();
    for event in &mut events {
        event.at.get_or_insert(now);
    }
    events
}

/// An id nobody else makes up: the time, and 64 random bits (a fresh hash key of the standard library).
fn new_request_id(now: Timestamp) -> String {
    format!("{:x}-{:016x}", now.0, RandomState::new().hash_one(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Surface, UserId};

    #[test]
    fn given_times_and_ids_are_kept_and_made_up_ids_differ() {
        let request =
            RecommendRequest::new(UserId::new("u").expect("valid"), Surface::new("radio").expect("valid"));
        let (one, two) = (stamp_recommend(request.clone()), stamp_recommend(request.clone()));
        assert!(one.request_id.is_some() && one.request_id != two.request_id);
        let given =
            RecommendRequest { as_of: Some(Timestamp(5)), request_id: Some("mine".into()), ..request };
        assert_eq!(stamp_recommend(given.clone()), given);
    }
}
