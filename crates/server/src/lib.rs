//! hangar's server: one port that carries the API, the forge and the web app.
//!
//! [`Config`] is what an operator can set; [`serve()`] puts the parts together and listens; [`routes`](routes::api_description) is the list of
//! every address it answers. Handlers translate HTTP into calls of `hangar-session`, `hangar-forge` and `people` and know no rule of
//! their own beyond who may ask.
//!
//! Architecture invariants: only this crate knows HTTP. A request goes through the same gates in the same order: name of the host, who
//! asks, how much at once; a route is behind them unless `routes.rs` says otherwise. No secret is kept in clear: codes,
//! cookies and tokens are stored as hashes.

mod accept;
mod acp;
mod agent_hooks;
mod agents;
mod answer;
mod app;
pub mod backup;
mod bases;
mod cli;
pub mod config;
mod data_dir;
mod doorkeeper;
mod extract;
mod gate;
mod images;
mod logs;
mod mcp;
mod memory;
mod models;
mod openapi;
mod outbound;
mod own_api;
mod people;
mod plugins;
mod routes;
mod saved_prompts;
mod serve;
mod source;
mod stream;
pub mod upkeep;
mod web;

// The command line says `hangar::` as any other user of this crate does.
extern crate self as hangar;

pub use cli::main as command_line;
pub use config::{Config, ConfigSources, Secret};
pub use logs::start_logging;
pub use routes::api_description;
pub use serve::{Server, serve};
