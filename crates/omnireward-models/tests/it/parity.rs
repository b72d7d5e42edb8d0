//! The models give the same numbers as their references, and the tests would notice if they did not.
//!
//! `scripts/oracle/make_fixtures.py` makes what is compared with.

mod adapter;
mod decoders;
mod inputs;
mod minicpm_o;
mod qwen2_5_vl;
mod reference;
