#![doc = include_str!("../README.md")]

pub mod chat_server;
mod data;
pub mod memory;
pub mod pairs;
pub mod published_sources;

pub use chat_server::{Behaviour, ChatServer, ChatServerConfig};
pub use data::real_data;
