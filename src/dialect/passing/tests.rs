//! Every format: recorded traffic, damage to it, and tables of what is edited.

mod cases;
mod ends;
mod recorded;
mod requests;
mod streams;
