//! The operators that make up the models.
//!
//! Each works on [`Tensor`](candle_core::Tensor)s of `f32` or `bf16` and is differentiable. On the processor the hot
//! ones are our own; elsewhere, and as a check, their plain twins are composed of the framework's.

mod activation;
mod attention;
mod linear;
mod norm;
mod product;
mod rotary;

pub use activation::{gelu_erf, gelu_tanh, swiglu};
pub use attention::{AttentionItem, AttentionLayout, Visibility, attention};
pub use linear::linear;
pub use norm::{layer_norm, rms_norm};
pub use rotary::rotate;
