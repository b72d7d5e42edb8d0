#![doc = include_str!("../README.md")]

mod data;

pub use data::real_data;
