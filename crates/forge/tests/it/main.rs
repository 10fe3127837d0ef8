//! The forge as its users meet it: stock git, curl-like REST, and the broker, each against a real listener on loopback.

mod house;

mod broker;
mod changes;
mod client;
mod git;
mod imports;
mod octokit;
mod pulls;
mod rest;
mod restart;
mod workspace;
