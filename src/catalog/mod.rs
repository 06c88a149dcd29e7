//! What can be called: models, their endpoints and prices, and the providers that serve them.
//!
//! Two sources, one shape. The built-in catalog ships inside the program as text and is searched
//! without being parsed ([`builtin`]); what the operator adds or changes lies in the `Catalog` object
//! and is distributed through KV, one entry a model, and wins over the built-in.

mod address;
pub mod builtin;
pub mod credential;
mod model;
mod pricing;
mod provider;
pub mod snapshot;

pub use address::check_base_url;
pub use model::{Architecture, Endpoint, Expected, Model};
pub(crate) use pricing::is_zero;
pub use pricing::{CostBreakdown, Pricing, Tokens};
pub use provider::{DataPolicy, Dialect, Provider, Setting, StoredProvider, Timeouts, Variables, check_slug};
