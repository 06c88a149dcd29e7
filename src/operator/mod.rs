//! The operator's catalog.
