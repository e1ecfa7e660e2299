//! Connections between an engine and its remote agents.
#![forbid(unsafe_code)]
