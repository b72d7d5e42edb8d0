//! One matrix product: what everything else can be measured by.

use candle_core::{Device, Tensor};
use omnireward_models::{ops::linear, weights::Weight};

use crate::{Case, Error, Work};

pub(crate) struct Product {
    x: Tensor,
    weight: Weight,
}

impl Product {
    pub(crate) fn new(case: &Case) -> Result<Self, Error> {
        let dtype = case.placement().dtype;
        let random =
            || Tensor::randn(0_f32, 1.0, (case.size, case.size), &Device::Cpu)?.to_dtype(dtype);
        Ok(Self {
            x: random()?,
            weight: Weight::Tensor(random()?),
        })
    }
}

impl Work for Product {
    fn run(&self) -> Result<Vec<f64>, Error> {
        linear(&self.x, &self.weight, None)?;
        Ok(Vec::new())
    }
}
