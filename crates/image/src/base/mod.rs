//! Bases: what the lowest layer of an image is made of.
