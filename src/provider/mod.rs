//! What a company asks for beside its wire format, where a row of the catalog is not enough: how requests
//! are signed and where they go. Pure functions; keys are used and requests sent by the shell.

pub mod access;
pub mod azure;
pub mod bedrock;
pub mod environment;
pub mod google;
pub mod sigv4;
pub mod token;
