//! A step composed of the framework's operators, for devices other than the processor.

use candle_core::{DType, Result, Tensor, Var};

use super::{
    Update,
    moments::{self, Moments},
};

/// Moments of a parameter that has taken no step.
pub(super) fn moments(var: &Var) -> Result<Moments<Tensor>> {
    let zeros = || Tensor::zeros(var.shape(), DType::F32, var.device());
    Ok(Moments {
        first: zeros()?,
        second: zeros()?,
        master: moments::master(var)?,
    })
}

pub(super) fn step(
    moments: &mut Moments<Tensor>,
    var: &Var,
    gradient: &Tensor,
    update: &Update,
) -> Result<()> {
    let gradient = times(&gradient.to_dtype(DType::F32)?, update.scale)?;
    let towards = (&gradient - &moments.first)?;
    moments.first = (&moments.first + times(&towards, update.first_share)?)?;
    let square = (times(&gradient, update.second_share)? * &gradient)?;
    moments.second = (times(&moments.second, update.second_kept)? + square)?;
    let root = times(&moments.second.sqrt()?, update.second_correction)?;
    let divisor = (root + f64::from(update.epsilon))?;
    let weights = match &moments.master {
        Some(master) => master.clone(),
        None => var.as_detached_tensor(),
    };
    let towards = (times(&moments.first, update.rate)? / divisor)?;
    let change = (towards + times(&weights, update.decay)?)?;
    let weights = (weights - change)?;
    var.set(&weights.to_dtype(var.dtype())?)?;
    if let Some(master) = &mut moments.master {
        *master = weights;
    }
    Ok(())
}

fn times(tensor: &Tensor, factor: f32) -> Result<Tensor> {
    tensor.affine(f64::from(factor), 0.0)
}
