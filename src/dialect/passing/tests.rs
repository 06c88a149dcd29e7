//! Every format: recorded traffic, damage to it, and tables of what is edited.

mod recorded;
mod requests;
mod streams;
