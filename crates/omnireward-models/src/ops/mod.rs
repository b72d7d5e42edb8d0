//! The operators that make up the models.
//!
//! Each works on [`Tensor`](candle_core::Tensor)s of `f32` or `bf16` and is differentiable. On the processor the hot
//! ones are our own; elsewhere, and as a check, their plain twins are composed of the framework's.

mod activation;
mod attention;
mod linear;
mod norm;
mod product;
mod pull_back;
mod rotary;
mod rows;
mod simd;

pub use activation::{
    add, gelu_erf, gelu_erf_plain, gelu_tanh, gelu_tanh_plain, swiglu, swiglu_plain,
};
pub use attention::{AttentionItem, AttentionLayout, Visibility, attention, attention_plain};
pub use linear::{linear, linear_plain};
pub use norm::{layer_norm, layer_norm_plain, rms_norm, rms_norm_plain};
pub use product::product_kernel;
pub use pull_back::pull_back;
pub use rotary::{rotate, rotate_plain};
pub use rows::{rows, rows_plain};
