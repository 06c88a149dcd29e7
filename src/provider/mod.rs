//! What a company asks for beside its wire format, where a row of the catalog is not enough: how requests
//! are signed and where they go. Pure functions; keys are used and requests sent by the shell.

pub mod google;
//! What only one company asks of those who call it: how requests are signed, how addresses are made.
//! Everything that a row of the catalog can say is said there.
pub mod bedrock;
pub mod sigv4;
