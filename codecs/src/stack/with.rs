//! Items of another type in both directions: [`With`].

use super::{MapIn, MapOut};

/// What [`with`](super::CodecExt::with) returns.
pub type With<C, F, G> = MapOut<MapIn<C, F>, G>;
