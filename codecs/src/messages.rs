//! From the bytes of a frame to a message of a type, and back.
