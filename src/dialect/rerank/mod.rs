//! Rankings (`POST /v1/rerank`), in the form that OpenRouter, Jina, Voyage, Together and vLLM share, and
//! that is Cohere's but for the bill.
//!
//! Facts: openrouter.ai/docs/api/api-reference/rerank/create-rerank, docs.cohere.com/reference/rerank,
//! jina.ai/reranker, docs.voyageai.com/reference/reranker-api, docs.together.ai/reference/rerank,
//! docs.vllm.ai (Rerank API); as of November 2026.
//!
//! - The request: `{model, query, documents, top_n}`; documents are texts, or objects `{text, image}`.
//! - The answer: `{id, model, results: [{index, relevance_score, document}], usage}`, best first. OpenRouter
//!   insists on `document` (`{text}`); Cohere leaves it out; Together and others give it when asked.
//! - `usage`: `total_tokens` (Jina, Voyage, vLLM), `prompt_tokens` too (Together), `search_units`
//!   (OpenRouter); Cohere says `meta.billed_units.search_units`, one for up to a hundred documents.
//!
//! # Quirks
//!
//! | quirk | meaning |
//! |---|---|
//! | `openrouter` | all of OpenRouter's members |
//! | `top_k` | Voyage: it says so instead of `top_n`, and `data` instead of `results` |

mod answer;
mod request;

pub use answer::{Ranked, Ranking, encode_ranking, read_answer};
pub use request::{Call, Wanted, outbound_edits, parse};
