//! The scripted model: plays a transcript over the real wire.
