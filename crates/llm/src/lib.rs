//! The LLM backend client; for now its stream taps, which read usage and never change a byte.
