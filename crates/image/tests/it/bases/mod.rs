//! Bases, made for real.

mod built;
mod debian;
mod dockerfile;
mod every;
mod images;
