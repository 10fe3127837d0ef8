//! Images from elsewhere and to elsewhere.

pub(crate) mod hostile;
pub(crate) mod judges;
pub(crate) mod made;
pub(crate) mod pull;
pub(crate) mod round_trip;
pub(crate) mod taken;
