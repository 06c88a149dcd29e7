//! What a translation cannot carry.

use crate::error::{Error, ErrorKind};

/// Something that the other format has no place for, and whose absence does not change what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, as in an error's `param`: `messages[2].name`, `top_k`.
    pub field: String,
}

/// All of one translation: shown in a response header and in the usage event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// Notes one; the same field counts once.
    pub fn add(&mut self, field: impl Into<String>) {
        let loss = Loss { field: field.into() };
        if !self.0.contains(&loss) {
            self.0.push(loss);
        }
    }

    /// Those noted, in order.
    pub fn list(&self) -> &[Loss] {
        &self.0
    }

    /// What cannot be left out without changing the meaning of a request: refused with 400.
    pub fn refuse(field: impl Into<String>, why: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidRequest, why).param(field).code("unsupported_parameter")
    }
}
