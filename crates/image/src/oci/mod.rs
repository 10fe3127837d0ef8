//! Images of the Open Container Initiative: read, pulled, exported.
