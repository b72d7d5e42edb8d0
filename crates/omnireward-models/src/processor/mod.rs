//! From a pair to token sequences.
