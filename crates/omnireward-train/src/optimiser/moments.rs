use candle_core::{DType, Result, Tensor, Var};

use super::{Update, fused, plain};

/// What is remembered of a parameter from step to step.
#[derive(Debug)]
pub(super) struct Moments<N> {
    pub first: N,
    pub second: N,
    /// The weights before rounding, where the variable is rounded.
    pub master: Option<N>,
}

/// Moments, where the parameter is: beside it on the processor, or on another device.
#[derive(Debug)]
pub(super) enum State {
    Fused(Moments<Vec<f32>>),
    Plain(Moments<Tensor>),
}

/// One of the rows of numbers that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    First,
    Second,
    Master,
}

impl State {
    pub(super) fn new(var: &Var) -> Result<Self> {
        if var.device().is_cpu() {
            Ok(Self::Fused(fused::moments(var)?))
        } else {
            Ok(Self::Plain(plain::moments(var)?))
        }
    }

    pub(super) fn is_on_processor(&self) -> bool {
        matches!(self, Self::Fused(_))
    }

    pub(super) fn step(&mut self, var: &Var, gradient: &Tensor, update: &Update) -> Result<()> {
        match self {
            Self::Fused(moments) => fused::step(moments, var, gradient, update),
            Self::Plain(moments) => plain::step(moments, var, gradient, update),
        }
    }

    /// Which rows there are.
    pub(super) fn rows(&self) -> &'static [Row] {
        let has_master = match self {
            Self::Fused(moments) => moments.master.is_some(),
            Self::Plain(moments) => moments.master.is_some(),
        };
        if has_master {
            &[Row::First, Row::Second, Row::Master]
        } else {
            &[Row::First, Row::Second]
        }
    }

    pub(super) fn set(&mut self, row: Row, numbers: Vec<f32>, var: &Var) -> Result<()> {
        match self {
            Self::Fused(moments) => *moments.row_mut(row) = numbers,
            Self::Plain(moments) => {
                *moments.row_mut(row) = Tensor::from_vec(numbers, var.shape(), var.device())?;
            }
        }
        Ok(())
    }

    /// Sets the variable to the master weights, rounded, if there are any.
    pub(super) fn publish(&self, var: &Var) -> Result<()> {
        let master = match self {
            Self::Fused(moments) => moments
                .master
                .as_ref()
                .map(|master| Tensor::from_slice(master, var.shape(), var.device()))
                .transpose()?,
            Self::Plain(moments) => moments.master.clone(),
        };
        match master {
            Some(master) => var.set(&master.to_dtype(var.dtype())?),
            None => Ok(()),
        }
    }
}

impl<N> Moments<N> {
    /// One of [`State::rows`].
    pub(super) fn row(&self, row: Row) -> &N {
        match row {
            Row::First => &self.first,
            Row::Second => &self.second,
            Row::Master => self.master.as_ref().expect("the variable is rounded"),
        }
    }

    fn row_mut(&mut self, row: Row) -> &mut N {
        match row {
            Row::First => &mut self.first,
            Row::Second => &mut self.second,
            Row::Master => self.master.as_mut().expect("the variable is rounded"),
        }
    }
}

/// The numbers of a variable as master weights; nothing when it is `f32`, and its own.
pub(super) fn master(var: &Var) -> Result<Option<Tensor>> {
    match var.dtype() {
        DType::F32 => Ok(None),
        _ => Ok(Some(var.as_detached_tensor().to_dtype(DType::F32)?)),
    }
}
