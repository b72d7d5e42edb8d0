use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::{decoder::DecoderConfig, weights::Placement};

/// Keys and values of all layers, for streams that go on from rows that were computed before.
///
/// A place for a row is the same in every layer. Which rows are where is the caller's business; what is written is
/// detached from the graph of whatever made it.
#[derive(Debug)]
pub struct KeyValues {
    layers: Vec<LayerKeyValues>,
    places: usize,
}

/// Keys and values of one layer.
///
/// # Shapes
///
/// Both `[places, kv_heads, head_dim]`, in the type of activations.
#[derive(Debug)]
pub(super) struct LayerKeyValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl KeyValues {
    /// Room for `places` rows, and for one at least.
    pub(super) fn new(
        config: &DecoderConfig,
        placement: &Placement,
        places: usize,
    ) -> Result<Self> {
        let places = places.max(1);
        let shape = (places, config.kv_heads, config.head_dim);
        let empty = || Tensor::zeros(shape, placement.dtype, &placement.device);
        let layers = (0..config.layers)
            .map(|_| {
                Ok(LayerKeyValues {
                    keys: empty()?,
                    values: empty()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers, places })
    }

    /// How many rows there is room for.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Makes room for `places` rows, if there is less; what is there stays where it is.
    ///
    /// One layer after the other is copied, so that no more than one is held twice.
    pub fn grow(&mut self, places: usize) -> Result<()> {
        if places <= self.places {
            return Ok(());
        }
        for layer in &mut self.layers {
            layer.keys = grown(&layer.keys, places)?;
            layer.values = grown(&layer.values, places)?;
        }
        self.places = places;
        Ok(())
    }

    pub(super) fn layer(&self, index: usize) -> &LayerKeyValues {
        &self.layers[index]
    }
}

impl LayerKeyValues {
    /// Writes the rows of `keys` and `values`, in their order, to the places that `places` goes through.
    pub(super) fn put(
        &self,
        places: &[Range<usize>],
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<()> {
        let rows: usize = places.iter().map(ExactSizeIterator::len).sum();
        if keys.dim(0)? != rows {
            bail!("`{}` rows of keys for `{rows}` places", keys.dim(0)?);
        }
        for (kept, new) in [(&self.keys, keys), (&self.values, values)] {
            let new = new.contiguous()?;
            let mut first = 0;
            for range in places {
                let part = new.narrow(0, first, range.len())?;
                kept.slice_set(&part, 0, range.start)?;
                first += range.len();
            }
        }
        Ok(())
    }
}

fn grown(tensor: &Tensor, places: usize) -> Result<Tensor> {
    let (_, heads, dim) = tensor.dims3()?;
    let larger = Tensor::zeros((places, heads, dim), tensor.dtype(), tensor.device())?;
    larger.slice_set(tensor, 0, 0)?;
    Ok(larger)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn rows_stay_at_their_places_when_there_is_more_room() {
        let numbers = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let row = |values: &[f32]| numbers(values).reshape(((), 1, 2)).unwrap();
        let empty = Tensor::zeros((3, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let mut kept = KeyValues {
            layers: vec![LayerKeyValues {
                keys: empty.clone(),
                values: empty.copy().unwrap(),
            }],
            places: 3,
        };
        let (keys, values) = (row(&[1.0, 2.0, 3.0, 4.0]), row(&[5.0, 6.0, 7.0, 8.0]));
        kept.layer(0).put(&[2..3, 0..1], &keys, &values).unwrap();
        kept.grow(5).unwrap();
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = [3.0, 4.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(flat(&kept.layer(0).keys), expected);
        assert_eq!(flat(&kept.layer(0).values)[..2], [7.0, 8.0]);
        assert!(kept.layer(0).put(&[0..1, 4..4], &keys, &values).is_err());
    }
}
