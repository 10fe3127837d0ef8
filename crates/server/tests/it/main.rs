//! The server as its clients meet it: a real one on a free port of loopback, asked over HTTP.

mod answers;
mod cli;
mod configuration;
mod hangar;
mod pages;
mod people;
mod repositories;
mod secrecy;
mod sessions;
mod start;
mod strangers;
mod streams;
