//! Training of collaborative vectors: implicit alternating least squares in Rendle's form (Rendle, Krichene, Zhang,
//! Koren: *Revisiting the Performance of iALS on Item Recommendation Benchmarks*, RecSys 2022).
//!
//! ```text
//! loss = Σ over observed (u,i)  c_ui (x_u·y_i − p_ui)²            p = 1 liked, 0 disliked
//!      + α₀ Σ over all (u,i)    (x_u·y_i)²
//!      + Σ over rows r          λ (n_r + α₀·N)^ν ‖r‖²             n_r observations of the row, N rows of the other side
//! c_ui = 1 + α·ln(1 + W) liked, 1 + α·D disliked                  W, D summed weights of the pair's events
//! ```
//!
//! Why the logarithm: play counts are heavy-tailed, and `1 + α·W` ruins the model (NDCG@10 on HetRec Last.fm at α 0.1:
//! .166; with the logarithm .281; counts ignored .281).
//!
//! Invariants: the same interactions, parameters and seed give the same bytes whatever the number of threads and the
//! order of the input rows; every row solved is the exact minimum given the other side, and user rows come last, so
//! [`solve_row`] on the trained tracks gives a trained user's vector again.
//!
//! Absent on purpose: other models, GPU, and any clock (callers time the sweeps they are told of).

mod als;
mod cholesky;
mod durations;
mod gram;
mod interactions;
mod model;
mod read;
mod solve;
mod weight;

#[cfg(test)]
mod tests;

pub use als::{AlsParams, SweepReport, train_als};
pub use durations::Durations;
pub use interactions::{Interactions, InteractionsBuilder};
pub use model::{AlsModel, Written};
pub use read::{PlaysShape, read_interactions};
pub use solve::{Observed, solve_row};
pub use weight::{DISLIKE_BEFORE_MS, DURATION_UNKNOWN_MS, EventWeight, WeightParams, completion};
