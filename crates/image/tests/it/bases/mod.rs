//! Bases, made for real.

mod debian;
mod images;
