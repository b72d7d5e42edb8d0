use candle_core::{Result, Tensor};

/// `silu(gate) · up` (Shazeer 2020, SwiGLU).
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// The Gaussian error linear unit in its tanh form.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    x.gelu()
}

/// The exact Gaussian error linear unit.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}
