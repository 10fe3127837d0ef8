//! The program `hangar` as people and scripts meet it.

mod offline;
mod online;
mod said;
mod terminal;
