//! Small cases, written by us.
