//! Gradients are the limits of differences: of every operator by every operand, and of the whole network by every
//! tensor of its checkpoint.

mod differences;
mod networks;
mod operators;
