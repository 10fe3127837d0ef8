//! Images from elsewhere and to elsewhere.

mod hostile;
mod judges;
mod made;
mod pull;
mod round_trip;
mod taken;
