use crate::{Error, error::LimitKind};

/// How large a medium may be. Every decoder checks what a file claims before it allocates for it.
///
/// # Examples
///
/// ```
/// use omnireward_media::Limits;
///
/// let strict = Limits {
///     pixels: 1_000_000,
///     ..Limits::default()
/// };
/// assert!(strict.check_pixels(2000, 2000).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The encoded size, in bytes. Default: 512 MiB.
    pub bytes: u64,
    /// Width times height of an image or of a video's frame. Default: 64 × 2²⁰.
    pub pixels: u64,
    /// Frames of a video. Default: 100 000.
    pub frames: u64,
    /// Duration of a video or sound, in seconds. Default: 4 hours.
    pub seconds: f64,
    /// Triangles of a mesh. Default: 5 million.
    pub triangles: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            pixels: 64 << 20,
            frames: 100_000,
            seconds: 4.0 * 3600.0,
            triangles: 5_000_000,
        }
    }
}

impl Limits {
    /// Refuses an encoded size over the limit.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`].
    pub fn check_bytes(&self, bytes: u64) -> Result<(), Error> {
        check(LimitKind::Bytes, self.bytes, bytes)
    }

    /// Refuses a picture whose area is over the limit.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`].
    pub fn check_pixels(&self, width: u32, height: u32) -> Result<(), Error> {
        check(
            LimitKind::Pixels,
            self.pixels,
            u64::from(width) * u64::from(height),
        )
    }

    /// Refuses a video of more frames than the limit.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`].
    pub fn check_frames(&self, frames: u64) -> Result<(), Error> {
        check(LimitKind::Frames, self.frames, frames)
    }

    /// Refuses a duration over the limit, and one that is no number.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`].
    pub fn check_seconds(&self, seconds: f64) -> Result<(), Error> {
        if seconds <= self.seconds {
            return Ok(());
        }
        Err(Error::LimitExceeded {
            limit: LimitKind::Seconds,
            max: self.seconds,
            found: seconds,
        })
    }

    /// Refuses a mesh of more triangles than the limit.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`].
    pub fn check_triangles(&self, triangles: u64) -> Result<(), Error> {
        check(LimitKind::Triangles, self.triangles, triangles)
    }
}

fn check(limit: LimitKind, max: u64, found: u64) -> Result<(), Error> {
    if found <= max {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        limit,
        max: max as f64,
        found: found as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_allows_its_own_value_and_refuses_one_more() {
        let limits = Limits {
            bytes: 10,
            pixels: 6,
            frames: 3,
            seconds: 1.5,
            triangles: 4,
        };
        assert!(limits.check_bytes(10).is_ok() && limits.check_bytes(11).is_err());
        assert!(limits.check_pixels(2, 3).is_ok() && limits.check_pixels(7, 1).is_err());
        assert!(limits.check_frames(3).is_ok() && limits.check_frames(4).is_err());
        assert!(limits.check_seconds(1.5).is_ok() && limits.check_seconds(1.6).is_err());
        assert!(limits.check_triangles(4).is_ok() && limits.check_triangles(5).is_err());
        assert!(limits.check_seconds(f64::NAN).is_err());
        assert!(Limits::default().check_pixels(u32::MAX, u32::MAX).is_err());
    }
}
