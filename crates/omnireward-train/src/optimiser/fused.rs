//! A step in one pass over memory.
//!
//! Each number is computed by itself from numbers at its own place, in the order of operations of
//! [`plain`](super::plain), so that neither the number of threads nor the width of the machine's vectors changes it.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use half::bf16;
use rayon::prelude::*;

use super::{
    BLOCK, Update,
    gradient::{Number, part, part_mut},
    moments::{self, Moments},
};

/// Moments of a parameter that has taken no step.
pub(super) fn moments(var: &Var) -> Result<Moments<Vec<f32>>> {
    let numbers = var.elem_count();
    let master = moments::master(var)?
        .map(|master| master.flatten_all()?.to_vec1())
        .transpose()?;
    Ok(Moments {
        first: vec![0.0; numbers],
        second: vec![0.0; numbers],
        master,
    })
}

pub(super) fn step(
    moments: &mut Moments<Vec<f32>>,
    var: &Var,
    gradient: &Tensor,
    update: &Update,
) -> Result<()> {
    let step = Step {
        moments: RefCell::new(moments),
        update: *update,
    };
    var.inplace_op2(gradient, &step)
}

/// Changes a variable by a gradient, and the moments with it.
struct Step<'a> {
    /// Of the variable that the operator is applied to, which takes place once.
    moments: RefCell<&'a mut Moments<Vec<f32>>>,
    update: Update,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let mut moments = self.moments.borrow_mut();
        let weights = match weights {
            CpuStorage::F32(weights) => Weights::Exact(part_mut(weights, weights_layout)?),
            CpuStorage::BF16(weights) => Weights::Rounded(part_mut(weights, weights_layout)?),
            _ => bail!("a variable that is neither f32 nor bf16"),
        };
        match gradient {
            CpuStorage::F32(gradient) => {
                change(&mut moments, weights, part(gradient, layout)?, &self.update)
            }
            CpuStorage::BF16(gradient) => {
                change(&mut moments, weights, part(gradient, layout)?, &self.update)
            }
            _ => bail!("a gradient that is neither f32 nor bf16"),
        }
    }
}

/// The numbers of a variable.
enum Weights<'a> {
    Exact(&'a mut [f32]),
    Rounded(&'a mut [bf16]),
}

fn change<G: Number>(
    moments: &mut Moments<Vec<f32>>,
    weights: Weights<'_>,
    gradient: &[G],
    update: &Update,
) -> Result<()> {
    let Moments {
        first,
        second,
        master,
    } = moments;
    let moments = gradient
        .par_chunks(BLOCK)
        .zip(first.par_chunks_mut(BLOCK))
        .zip(second.par_chunks_mut(BLOCK));
    match (weights, master) {
        (Weights::Exact(weights), None) => moments.zip(weights.par_chunks_mut(BLOCK)).for_each(
            |(((gradient, first), second), weights)| {
                block(gradient, first, second, weights, update);
            },
        ),
        (Weights::Rounded(weights), Some(master)) => moments
            .zip(master.par_chunks_mut(BLOCK))
            .zip(weights.par_chunks_mut(BLOCK))
            .for_each(|((((gradient, first), second), master), weights)| {
                block(gradient, first, second, master, update);
                round(master, weights);
            }),
        _ => bail!("master weights go with a variable that is rounded, and with no other"),
    }
    Ok(())
}

fn block<G: Number>(
    gradient: &[G],
    first: &mut [f32],
    second: &mut [f32],
    weights: &mut [f32],
    update: &Update,
) {
    let moments = first.iter_mut().zip(second);
    for ((gradient, (first, second)), weight) in gradient.iter().zip(moments).zip(weights) {
        let gradient = gradient.wide() * update.scale;
        *first += (gradient - *first) * update.first_share;
        *second = *second * update.second_kept + gradient * update.second_share * gradient;
        let divisor = second.sqrt() * update.second_correction + update.epsilon;
        *weight -= *first * update.rate / divisor + *weight * update.decay;
    }
}

fn round(exact: &[f32], rounded: &mut [bf16]) {
    for (exact, rounded) in exact.iter().zip(rounded) {
        *rounded = bf16::from_f32(*exact);
    }
}
