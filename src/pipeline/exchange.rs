//! A request being served: what is known of it from its admission to its record.

use std::{collections::BTreeMap, rc::Rc};

use super::admission::Admitted;
use crate::{
    auth::Principal,
    budget::{AccountRef, estimate::Weight, policy::Policy},
    catalog::{CostBreakdown, Endpoint},
    chat::{ProviderError, Wire},
    dialect::{
        Target as Addressee,
        call::Api,
        passing::{Finish, ResponseFacts},
    },
    error::{Error, ErrorKind},
    formats::{self, Call, Fetched, Relay},
    idempotency::{MAX_ANSWER, Wanted},
    ids::GenerationId,
    known::{KnownModel, KnownProvider},
    metering::{Attempt, Outcome, UsageEvent},
    routing::fallback::Cause,
    task::{self, count},
    time::Millis,
};

/// An endpoint a request may be sent to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub model: Rc<KnownModel>,
    pub endpoint: usize,
    pub provider: Rc<KnownProvider>,
    pub strategy: &'static str,
}

impl Target {
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.model.model.endpoints.get(self.endpoint)
    }
}

/// A request being served.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one request")]
pub(super) struct Exchange {
    pub id: GenerationId,
    /// What is called.
    pub api: Api,
    /// The path with its query.
    pub path: String,
    /// The media type of the client's body.
    pub content_type: String,
    /// What of a request has to be known when its answer comes, where it is no conversation.
    pub single: Option<Single>,
    /// What answers repeat of the client's request, or depend on; nothing where its bytes are passed on.
    pub asked: Option<serde_json::Value>,
    /// The format of the current attempt.
    pub wire: Wire,
    /// Fields of the request that were not carried there.
    pub losses: Vec<String>,
    /// Media that were fetched.
    pub fetched: BTreeMap<String, Fetched>,
    /// Access tokens that were asked for on its behalf.
    pub tokens_asked: usize,
    /// Why there is no token for the provider of the current attempt.
    pub tokenless: Option<String>,
    /// `anthropic-beta`, for providers of that format.
    pub anthropic_beta: String,
    pub principal: Principal,
    pub requested_model: String,
    pub targets: Vec<Target>,
    pub current: usize,
    pub attempts: Vec<Attempt>,
    pub retry_after_s: Option<u32>,
    pub stream: bool,
    pub native: bool,
    pub wants_metadata: bool,
    pub numeric_code: bool,
    /// The account was told that it runs.
    pub told: bool,
    pub estimated_prompt: u64,
    pub policy: Rc<Policy>,
    pub weight: Weight,
    pub admitted: Admitted,
    pub accounts: Vec<AccountRef>,
    pub claim: Option<Claiming>,
    pub cut: Option<Cut>,
    pub started: Millis,
    pub attempt_started: Millis,
    pub relay: Option<Relay>,
    pub user: Option<String>,
    pub session_id: Option<String>,
    pub user_agent: Option<String>,
    pub referer: Option<String>,
    pub title: Option<String>,
}

/// What of a request that is no conversation has to be known when its answer comes.
#[derive(Debug)]
pub(super) enum Single {
    /// A task's wishes.
    Task(Box<task::Wanted>),
    /// Whose count it is.
    Count(count::Client),
}

/// A request that is answered once, and its answer so far.
#[derive(Debug)]
pub(super) struct Claiming {
    pub wanted: Wanted,
    /// Nothing where it went by unread.
    pub answer: Option<Vec<u8>>,
}

impl Claiming {
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if let Some(answer) = &mut self.answer {
            // One byte too many says that it is too large to be kept.
            let room = (MAX_ANSWER + 1).saturating_sub(answer.len());
            answer.extend(bytes.iter().take(room));
        }
    }
}

/// Why the gateway itself ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its share of a budget is used up and cannot grow.
    Budget,
    /// Whom it is charged to was stopped, or its key disabled.
    Stopped,
}

impl Exchange {
    pub(super) fn target(&self) -> Option<&Target> {
        self.targets.get(self.current)
    }

    /// Whether the client wants its stream as one array of JSON.
    pub(super) fn array(&self, call: &Call<'_>) -> bool {
        call.stream() && call.api == Api::Generate && formats::route(&self.path).array
    }

    /// Reads a body that came with status 200.
    pub(super) fn read_answer(
        &self,
        body: &[u8],
        now: Millis,
    ) -> std::result::Result<formats::Answered, (Cause, ProviderError)> {
        let finish = self.finish_after(Some(200), now);
        let target = self.target().and_then(|target| Some((&target.provider.row, target.endpoint()?)));
        match (&self.single, target) {
            (Some(Single::Count(client)), Some((row, _))) => {
                let (_, answer) = client.read_answer(row.dialect, body)?;
                let (facts, cost) = (ResponseFacts::default(), Some(CostBreakdown::default()));
                Ok(formats::Answered { facts, cost, body: Err(answer.to_string().into_bytes()) })
            }
            (Some(Single::Task(wanted)), Some((row, endpoint))) => {
                let quirks = formats::quirks(row, endpoint, self.wire);
                formats::read_single(wanted.read_answer(row.dialect, &addressee(endpoint, &quirks), body, &finish))
            }
            _ => formats::read_answer(self.wire, self.api.wire(), body, &finish, self.asked.as_ref()),
        }
    }

    /// The relay of the current attempt's stream.
    pub(super) fn new_relay(&self, native: bool) -> Relay {
        let target = self.target().and_then(|target| Some((&target.provider.row, target.endpoint()?)));
        let quirks = target.map(|(row, endpoint)| formats::quirks(row, endpoint, self.wire)).unwrap_or_default();
        let empty = Addressee { model: "", quirks: &quirks, longest: None, model_longest: None };
        let addressee = target.map_or(empty, |(_, endpoint)| addressee(endpoint, &quirks));
        Relay::new(self.wire, self.api.wire(), &addressee, self.finish(), native, self.asked.clone())
    }

    pub(super) fn note_attempt(&mut self, status: Option<u16>, cause: Option<&str>, now: Millis) {
        let Some(target) = self.targets.get(self.current) else { return };
        let end = self.relay.as_ref().and_then(Relay::first_content_at).filter(|_| cause.is_none()).unwrap_or(now);
        self.attempts.push(Attempt {
            provider: target.provider.row.slug.clone(),
            tag: target.endpoint().map_or("", Endpoint::tag).to_owned(),
            model: target.model.model.id.clone(),
            status,
            cause: cause.map(str::to_owned),
            latency_ms: end.since(self.attempt_started),
        });
    }

    pub(super) fn finish(&self) -> Finish {
        let target = self.target();
        Finish {
            id: self.id.to_string(),
            model: target.map_or_else(String::new, |t| t.model.model.id.clone()),
            provider: target.map_or_else(String::new, |t| t.provider.row.name.clone()),
            pricing: target.and_then(|t| t.endpoint()?.pricing.clone()),
            policy: Rc::clone(&self.policy),
            estimated_prompt: self.estimated_prompt,
            created: self.started.seconds(),
            metadata: None,
        }
    }

    /// The same for the end of an attempt, with the routing story where it is wanted.
    pub(super) fn finish_after(&self, status: Option<u16>, now: Millis) -> Finish {
        let metadata = self.wants_metadata.then(|| self.metadata(status, now).to_string());
        Finish { metadata, ..self.finish() }
    }

    /// `openrouter_metadata` (field: OpenRouter 2.5).
    pub(super) fn metadata(&self, status: Option<u16>, now: Millis) -> serde_json::Value {
        let served = self.target();
        let name = |target: &Target| target.provider.row.name.clone();
        let mut attempts: Vec<serde_json::Value> = self
            .attempts
            .iter()
            .map(|attempt| serde_json::json!({ "provider": attempt.provider, "model": attempt.model, "status": attempt.status.unwrap_or(0) }))
            .collect();
        if let Some(target) = served {
            attempts.push(serde_json::json!({ "provider": target.provider.row.slug, "model": target.model.model.id, "status": status.unwrap_or(0) }));
        }
        let available: Vec<serde_json::Value> = self
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| serde_json::json!({ "provider": name(target), "model": target.model.model.id, "selected": index == self.current }))
            .collect();
        serde_json::json!({
            "requested": self.requested_model,
            "strategy": if self.attempts.is_empty() { "direct" } else { "fallback" },
            "region": null,
            "summary": format!(
                "{} of {} endpoints, ordered by {}",
                served.map_or_else(String::new, name), self.targets.len(), served.map_or("", |t| t.strategy)
            ),
            "attempt": self.attempts.len() + 1,
            "is_byok": false,
            "endpoints": { "total": self.targets.len(), "available": available },
            "attempts": attempts,
            "generation_time": now.since(self.attempt_started),
        })
    }

    /// The client's error when no attempt is left.
    pub(super) fn failure(&self, cause: Cause, error: &ProviderError) -> Error {
        let provider = self.target().map_or("The provider", |target| target.provider.row.name.as_str());
        let kind = error.kind(cause.verdict().kind);
        let what = match cause {
            Cause::Connection => "could not be reached".to_owned(),
            Cause::Timeout => "did not answer in time".to_owned(),
            Cause::Stopped => "was told to stop".to_owned(),
            Cause::Status(status) => format!("answered with status {status}"),
            Cause::ErrorInBody(_) => "answered with an error".to_owned(),
            Cause::Malformed => "sent something that is not an answer".to_owned(),
        };
        let tried =
            if self.attempts.len() > 1 { format!(" ({} attempts in all)", self.attempts.len()) } else { String::new() };
        let words = match (&error.message, kind) {
            // What a provider says of the operator's credential is not the caller's to read.
            (_, ErrorKind::ProviderCredential) => ": it refused the gateway's credential".to_owned(),
            (Some(words), _) => format!(": {words}"),
            (None, _) => ".".to_owned(),
        };
        let mut failure = Error::new(kind, format!("{provider} {what}{tried}{words}"));
        if kind.facts().status < 500 {
            failure.param.clone_from(&error.param);
        }
        failure.retry_after_s = self.retry_after_s;
        let previous: Vec<serde_json::Value> = self
            .attempts
            .iter()
            .map(|attempt| serde_json::json!({ "provider": attempt.provider, "code": attempt.cause, "status": attempt.status }))
            .collect();
        failure = failure.meta("provider_name", provider).meta("previous_errors", previous);
        match &error.code {
            Some(code) if kind != ErrorKind::ProviderCredential => failure.meta("provider_code", code.clone()),
            _ => failure,
        }
    }

    /// Milliseconds to the first content, and output tokens per second over the whole attempt.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub(super) fn speeds(&self, facts: &ResponseFacts, now: Millis) -> (Option<f64>, Option<f64>) {
        let first = self.relay.as_ref().and_then(Relay::first_content_at);
        let ttft = first.map(|at| at.since(self.attempt_started) as f64);
        let (tokens, ms) = (facts.usage.tokens.completion, now.since(self.attempt_started).max(1));
        // Short or estimated answers say nothing about speed.
        let throughput = (tokens >= 16 && !facts.usage.estimated).then(|| tokens as f64 * 1000.0 / ms as f64);
        (ttft, throughput)
    }

    pub(super) fn event(
        &self,
        outcome: Outcome,
        status: u16,
        error: Option<ErrorKind>,
        facts: &ResponseFacts,
        cost: Option<CostBreakdown>,
        now: Millis,
    ) -> UsageEvent {
        let key = self.principal.key();
        let target = self.target();
        let endpoint = target.and_then(Target::endpoint);
        let first = self.relay.as_ref().and_then(Relay::first_content_at);
        let served = !matches!(outcome, Outcome::Error | Outcome::Lost);
        UsageEvent {
            v: 1,
            id: self.id.clone(),
            org: key.org.clone(),
            workspace_id: key.workspace_id.clone(),
            key_hash: key.hash.clone(),
            created_at: self.started,
            api: self.api.name().to_owned(),
            requested_model: self.requested_model.clone(),
            model: target.map_or_else(String::new, |t| t.model.model.id.clone()),
            provider: target.map_or_else(String::new, |t| t.provider.row.slug.clone()),
            provider_name: target.map_or_else(String::new, |t| t.provider.row.name.clone()),
            tag: endpoint.map_or("", Endpoint::tag).to_owned(),
            upstream_model: endpoint.map_or_else(String::new, |e| e.upstream_model.clone()),
            upstream_id: facts.upstream_id.clone(),
            streamed: self.stream,
            cancelled: outcome == Outcome::Cancelled,
            outcome,
            status,
            error_type: error.map(|kind| kind.facts().error_type.to_owned()),
            finish_reason: facts.finish_reason.clone(),
            native_finish_reason: facts.native_finish_reason.clone().or_else(|| facts.finish_reason.clone()),
            ttft_ms: first.map(|at| at.since(self.attempt_started)),
            latency_ms: first.unwrap_or(now).since(self.started),
            generation_ms: now.since(self.attempt_started),
            tokens: facts.usage.tokens,
            estimated: facts.usage.estimated || outcome == Outcome::Lost,
            cost_nano: cost.map(|c| c.total).filter(|_| served),
            provider_cost_nano: cost.filter(|c| served && c.provider != c.total).map(|c| c.provider),
            prompt_cost_nano: cost.map(|c| c.prompt).filter(|_| served),
            completion_cost_nano: cost.map(|c| c.completion).filter(|_| served),
            cache_discount_nano: cost.map(|c| c.cache_discount).filter(|_| served),
            provider_cost_usd: facts.usage.provider_cost,
            price_version: target.map_or_else(String::new, |t| t.model.price_version.clone()),
            strategy: target.map_or("", |t| t.strategy).to_owned(),
            attempts: self.attempts.clone(),
            user: self.user.clone(),
            session_id: self.session_id.clone(),
            user_agent: self.user_agent.clone(),
            http_referer: self.referer.clone(),
            app_title: self.title.clone(),
            service_tier: facts.service_tier.clone(),
            losses: self.losses.iter().chain(&facts.losses).cloned().collect(),
        }
    }
}

/// An endpoint as formats know it.
pub(super) fn addressee<'e>(endpoint: &'e Endpoint, quirks: &'e [String]) -> Addressee<'e> {
    Addressee { model: &endpoint.upstream_model, quirks, longest: None, model_longest: endpoint.max_completion_tokens }
}
