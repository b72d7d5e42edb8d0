use ::gltf::{
    Accessor,
    accessor::{DataType, sparse::IndexType},
    buffer::View,
};

use super::buffers::Buffers;
use crate::Error;

/// Reads accessors with every bound checked. An accessor without a view stands for zeros that no
/// byte of the file pays for, so its count is believed only where the caller has held it against
/// the limits: as the number of vertices, or as that of vertex numbers.
pub(super) struct Accessors<'a> {
    format: &'static str,
    buffers: &'a Buffers,
}

impl<'a> Accessors<'a> {
    pub(super) const fn new(format: &'static str, buffers: &'a Buffers) -> Self {
        Self { format, buffers }
    }

    /// Vectors of `N` numbers, one for each vertex. Whole numbers become fractions where the
    /// accessor says `normalized`.
    pub(super) fn floats<const N: usize>(
        &self,
        accessor: &Accessor<'_>,
        vertices: usize,
    ) -> Result<Vec<[f32; N]>, Error> {
        let count = accessor.count();
        if count != vertices {
            return Err(self.error(
                accessor,
                format!("has `{count}` elements for {vertices} vertices"),
            ));
        }
        if accessor.dimensions().multiplicity() != N {
            return Err(self.error(accessor, format!("has not {N} numbers an element")));
        }
        let (kind, normalized) = (accessor.data_type(), accessor.normalized());
        let size = size_of_type(kind);
        self.elements(accessor, |bytes| {
            std::array::from_fn(|i| number(&bytes[i * size..], kind, normalized))
        })
    }

    /// Linear RGBA from three or four numbers, one for each vertex.
    pub(super) fn colors(
        &self,
        accessor: &Accessor<'_>,
        vertices: usize,
    ) -> Result<Vec<[f32; 4]>, Error> {
        let clamped = |color: [f32; 4]| color.map(|x| x.clamp(0.0, 1.0));
        if accessor.dimensions().multiplicity() == 3 {
            let rgb = self.floats::<3>(accessor, vertices)?;
            return Ok(rgb
                .into_iter()
                .map(|[r, g, b]| clamped([r, g, b, 1.0]))
                .collect());
        }
        Ok(self
            .floats::<4>(accessor, vertices)?
            .into_iter()
            .map(clamped)
            .collect())
    }

    /// Vertex numbers.
    pub(super) fn indices(&self, accessor: &Accessor<'_>) -> Result<Vec<u32>, Error> {
        let read = match (accessor.dimensions().multiplicity(), accessor.data_type()) {
            (1, DataType::U8) => |bytes: &[u8]| u32::from(bytes[0]),
            (1, DataType::U16) => {
                |bytes: &[u8]| u32::from(u16::from_le_bytes([bytes[0], bytes[1]]))
            }
            (1, DataType::U32) => |bytes: &[u8]| u32::from_le_bytes(four(bytes)),
            _ => return Err(self.error(accessor, "holds no vertex numbers")),
        };
        self.elements(accessor, read)
    }

    fn elements<T: Clone>(
        &self,
        accessor: &Accessor<'_>,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Vec<T>, Error> {
        let size = accessor.size();
        let count = accessor.count();
        if let Some(sparse) = accessor.sparse().filter(|sparse| sparse.count() > count) {
            return Err(self.error(
                accessor,
                format!("replaces `{}` of {count} elements", sparse.count()),
            ));
        }
        let mut elements = match accessor.view() {
            Some(view) => {
                let stride = view.stride().unwrap_or(size);
                self.slots(accessor, &view, accessor.offset(), (stride, size), count)?
                    .map(&read)
                    .collect()
            }
            None => vec![read(&vec![0; size]); count],
        };
        if let Some(sparse) = accessor.sparse() {
            let (indices, values) = (sparse.indices(), sparse.values());
            let width = match indices.index_type() {
                IndexType::U8 => 1,
                IndexType::U16 => 2,
                IndexType::U32 => 4,
            };
            let places = self.slots(
                accessor,
                &indices.view(),
                indices.offset(),
                (width, width),
                sparse.count(),
            )?;
            let values = self.slots(
                accessor,
                &values.view(),
                values.offset(),
                (size, size),
                sparse.count(),
            )?;
            for (place, value) in places.zip(values) {
                let mut little = [0; 4];
                little[..width].copy_from_slice(place);
                let place = u32::from_le_bytes(little) as usize;
                *elements.get_mut(place).ok_or_else(|| {
                    self.error(accessor, format!("replaces element {place} of {count}"))
                })? = read(value);
            }
        }
        Ok(elements)
    }

    /// `count` pieces of `size` bytes, `stride` apart.
    fn slots(
        &self,
        accessor: &Accessor<'_>,
        view: &View<'_>,
        offset: usize,
        (stride, size): (usize, usize),
        count: usize,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Error> {
        let bytes = self.buffers.view(view)?;
        let end = count
            .checked_sub(1)
            .and_then(|last| {
                last.checked_mul(stride)?
                    .checked_add(offset)?
                    .checked_add(size)
            })
            .or((count == 0).then_some(0));
        if stride == 0 || end.is_none_or(|end| end > bytes.len()) {
            return Err(self.error(accessor, "reaches beyond its buffer view"));
        }
        Ok((0..count).map(move |i| &bytes[offset + i * stride..][..size]))
    }

    fn error(&self, accessor: &Accessor<'_>, reason: impl std::fmt::Display) -> Error {
        Error::mesh(
            self.format,
            format!("accessor {} {reason}", accessor.index()),
        )
    }
}

const fn size_of_type(kind: DataType) -> usize {
    match kind {
        DataType::I8 | DataType::U8 => 1,
        DataType::I16 | DataType::U16 => 2,
        DataType::U32 | DataType::F32 => 4,
    }
}

/// The formulas for fractions are those of the specification, section 3.6.2.2.
fn number(bytes: &[u8], kind: DataType, normalized: bool) -> f32 {
    let (value, full) = match kind {
        DataType::I8 => (f32::from(bytes[0].cast_signed()), 127.0),
        DataType::U8 => (f32::from(bytes[0]), 255.0),
        DataType::I16 => (
            f32::from(i16::from_le_bytes([bytes[0], bytes[1]])),
            32_767.0,
        ),
        DataType::U16 => (
            f32::from(u16::from_le_bytes([bytes[0], bytes[1]])),
            65_535.0,
        ),
        DataType::U32 => (u32::from_le_bytes(four(bytes)) as f32, 4_294_967_295.0),
        DataType::F32 => return f32::from_le_bytes(four(bytes)),
    };
    if normalized {
        (value / full).max(-1.0)
    } else {
        value
    }
}

fn four(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}
