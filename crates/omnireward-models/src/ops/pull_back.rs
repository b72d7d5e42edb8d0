use candle_core::{
    CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, backprop::GradStore, bail,
};

/// The gradients of `Σ out·grad`: from the gradient by a tensor to those by what it was computed from.
///
/// This is how a backward pass goes on from a stage whose gradient is known, and how one begins whose loss was
/// computed elsewhere. The sum itself is not computed.
///
/// # Shapes
///
/// `out`, `grad`: any, the same.
pub fn pull_back(out: &Tensor, grad: &Tensor) -> Result<GradStore> {
    if out.dims() != grad.dims() || out.dtype() != grad.dtype() {
        bail!(
            "a gradient of shape {:?} in {:?} for a tensor of shape {:?} in {:?}",
            grad.dims(),
            grad.dtype(),
            out.dims(),
            out.dtype()
        );
    }
    if !out.device().is_cpu() {
        return (out * grad)?.sum_all()?.backward();
    }
    out.apply_op1(Known(grad.detach()))?.backward()
}

/// A number that stands for a loss of which only the gradient is known.
struct Known(Tensor);

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        "pull_back"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::{
        super::{
            gelu_erf,
            simd::testing::{bits, random},
        },
        *,
    };

    #[test]
    fn equals_the_backward_pass_of_the_sum() {
        for dtype in [DType::F32, DType::BF16] {
            let x = Var::from_tensor(&random((7, 5), 1).to_dtype(dtype).unwrap()).unwrap();
            let grad = random((7, 5), 2).to_dtype(dtype).unwrap();
            let out = gelu_erf(&x).unwrap();
            let whole = (&out * &grad)
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap();
            let store = pull_back(&out, &grad).unwrap();
            assert_eq!(bits(store.get(&x).unwrap()), bits(whole.get(&x).unwrap()));
        }
    }

    #[test]
    fn a_gradient_of_another_shape_or_type_is_refused() {
        let x = Var::from_tensor(&random((7, 5), 1)).unwrap();
        assert!(pull_back(&x, &random((5, 7), 2)).is_err());
        let narrow = random((7, 5), 2).to_dtype(DType::BF16).unwrap();
        assert!(pull_back(&x, &narrow).is_err());
    }
}
