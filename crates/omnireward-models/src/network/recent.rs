use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Result;

/// What was made last of some bytes, so that the next criterion on the same pair need not make it again.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    most: usize,
    /// The latest last.
    made: Mutex<VecDeque<([u8; 32], T)>>,
}

impl<T: Clone> Recent<T> {
    /// Remembers at most `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            made: Mutex::default(),
        }
    }

    /// What was made under `key`, or what `make` makes now.
    pub(crate) fn get_or(&self, key: [u8; 32], make: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(known) = self.take(&key) {
            self.keep(key, known.clone());
            return Ok(known);
        }
        let value = make()?;
        self.keep(key, value.clone());
        Ok(value)
    }

    fn take(&self, key: &[u8; 32]) -> Option<T> {
        let mut made = self.made();
        let place = made.iter().position(|(known, _)| known == key)?;
        made.remove(place).map(|(_, value)| value)
    }

    fn keep(&self, key: [u8; 32], value: T) {
        let mut made = self.made();
        if made.len() >= self.most {
            made.pop_front();
        }
        made.push_back((key, value));
    }

    fn made(&self) -> MutexGuard<'_, VecDeque<([u8; 32], T)>> {
        // Every change leaves the list whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_is_made_again() {
        let recent = Recent::new(2);
        let made = |key: u8, value: u32| {
            let mut is_new = false;
            let value = recent.get_or([key; 32], || {
                is_new = true;
                Ok(value)
            });
            (value.unwrap(), is_new)
        };
        assert_eq!(made(1, 10), (10, true));
        assert_eq!(made(2, 20), (20, true));
        assert_eq!(made(1, 11), (10, false));
        assert_eq!(made(3, 30), (30, true));
        assert_eq!(made(1, 12), (10, false));
        assert_eq!(made(2, 21), (21, true));
    }
}
