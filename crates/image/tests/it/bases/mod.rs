//! Bases, made for real.

mod debian;
mod dockerfile;
mod every;
mod images;
