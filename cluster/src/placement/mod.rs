//! Where replicas are, and how they get elsewhere.
//!
//! * [`replace`]: the steps that put one replica in another's place, as a pure function of what the
//!   leader sees.

pub(crate) mod replace;
