//! Layers around a codec.
