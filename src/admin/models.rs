//! `GET /models`, `/models/count`, `/model/...`, `/models/.../endpoints`, `/providers`: the catalog in
//! OpenRouter's shapes (fields as of its SDK 1.3, 2026-11).
//!
//! Listed is what can be called: models of which some endpoint's provider is ready. `?all=true` (ours)
//! lists the whole catalog.

use serde_json::{Value, json};

use super::query::{self, Query};
use crate::{
    catalog::{Architecture, Endpoint, Model, Pricing},
    error::{Error, ErrorKind, Result},
    operator::{Effective, EffectiveProvider},
    routing::slug::Slug,
};

/// Orders that need statistics which there are none of yet: accepted, and answered in order of id.
const SORTS_WITHOUT_FIGURES: [&str; 8] = [
    "most-popular",
    "top-weekly",
    "throughput-high-to-low",
    "latency-low-to-high",
    "intelligence-high-to-low",
    "coding-high-to-low",
    "agentic-high-to-low",
    "design-arena-elo-high-to-low",
];

/// Answers a request for the catalog; `path` is below the base URL, decoded.
pub fn answer(path: &str, query: &Query, catalog: &Effective) -> Result<Value> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["models"] => list(query, catalog),
        ["models", "count"] => Ok(json!({ "data": { "count": select(query, catalog)?.len() } })),
        ["models", author, slug, "endpoints"] => {
            let model = find(author, slug, catalog)?;
            Ok(json!({ "data": with_endpoints(&model, catalog, query::flag(query, "all")?) }))
        }
        ["model", author, slug] => Ok(json!({ "data": entry(&find(author, slug, catalog)?, catalog) })),
        ["providers"] => providers(query, catalog),
        _ => Err(Error::internal(format!("the catalog has nothing at {path}"))),
    }
}

fn list(query: &Query, catalog: &Effective) -> Result<Value> {
    let models = select(query, catalog)?;
    let total = models.len();
    let paged = ["offset", "limit"].iter().any(|name| query::text(query, name).is_some());
    let (offset, limit) = query::page(query, 500, 1000)?;
    let (offset, limit) = (
        usize::try_from(offset).unwrap_or(usize::MAX),
        if paged { usize::try_from(limit).unwrap_or(0) } else { usize::MAX },
    );
    let data: Vec<Value> = models.iter().skip(offset).take(limit).map(|model| entry(model, catalog)).collect();
    let after = offset.saturating_add(data.len());
    let next = (after < total && !data.is_empty()).then(|| next_page(query, after));
    Ok(json!({ "data": data, "total_count": total, "links": { "next": next } }))
}

/// The models that the query asks for, in its order.
fn select(query: &Query, catalog: &Effective) -> Result<Vec<Model>> {
    let all = query::flag(query, "all")?;
    let outputs = query::list(query, "output_modalities");
    let outputs = if outputs.is_empty() { vec!["text"] } else { outputs };
    let inputs = query::list(query, "input_modalities");
    let parameters = query::list(query, "supported_parameters");
    let authors = query::list(query, "model_authors");
    let providers = query::list(query, "providers");
    let words = query::text(query, "q").map(str::to_lowercase);
    let context = query::whole(query, "context", 0..=i64::MAX)?.map(i64::unsigned_abs);
    let any = |wanted: &[&str], have: &[String]| {
        wanted.is_empty() || wanted.iter().any(|item| have.iter().any(|other| other == item))
    };

    let mut models = catalog.models();
    models.retain(|model| {
        (all || catalog.can_serve(model))
            && (outputs.contains(&"all") || any(&outputs, &model.architecture.output_modalities))
            && any(&inputs, &model.architecture.input_modalities)
            && parameters
                .iter()
                .all(|wanted| model.endpoints.iter().any(|e| e.supported_parameters.iter().any(|have| have == wanted)))
            && (authors.is_empty() || model.id.split_once('/').is_some_and(|(author, _)| authors.contains(&author)))
            && (providers.is_empty() || model.endpoints.iter().any(|e| serves(&providers, e, catalog)))
            && words.as_ref().is_none_or(|words| {
                model.id.to_lowercase().contains(words) || model.name.to_lowercase().contains(words)
            })
            && context.is_none_or(|least| context_length(model).is_some_and(|have| have >= least))
    });
    let price = |model: &Model| top(model, catalog).and_then(|e| e.pricing.as_ref()).map(Pricing::combined);
    match query::text(query, "sort") {
        None => {}
        Some("newest") => models.sort_by_key(|model| std::cmp::Reverse(model.created)),
        // What has no price comes last either way.
        Some("pricing-low-to-high") => models.sort_by_cached_key(|model| price(model).unwrap_or(u64::MAX)),
        Some("pricing-high-to-low") => {
            models.sort_by_cached_key(|model| std::cmp::Reverse(price(model).map_or(0, |pico| pico.saturating_add(1))));
        }
        Some("context-high-to-low") => models.sort_by_key(|model| std::cmp::Reverse(context_length(model))),
        Some(other) if SORTS_WITHOUT_FIGURES.contains(&other) => {}
        Some(_) => {
            let known = "newest, pricing-low-to-high, pricing-high-to-low, context-high-to-low";
            return Err(Error::invalid("sort", format!("sort must be one of {known}.")));
        }
    }
    Ok(models)
}

fn serves(wanted: &[&str], endpoint: &Endpoint, catalog: &Effective) -> bool {
    let name = catalog.provider(&endpoint.provider).map(|provider| provider.row.name.as_str());
    wanted.iter().any(|item| *item == endpoint.provider || name.is_some_and(|name| name.eq_ignore_ascii_case(item)))
}

fn find(author: &str, slug: &str, catalog: &Effective) -> Result<Model> {
    let name = format!("{author}/{slug}");
    let id = Slug::parse(&name).map(|slug| slug.id);
    let model = id.ok().and_then(|id| catalog.model(&id));
    model.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("There is no model {name:?}. GET /v1/models lists those that can be called."),
        )
    })
}

/// The endpoint whose facts stand for the model: the cheapest of those that can be called.
fn top<'m>(model: &'m Model, catalog: &Effective) -> Option<&'m Endpoint> {
    let ready = |e: &Endpoint| catalog.provider(&e.provider).is_some_and(EffectiveProvider::ready);
    model.endpoints.iter().min_by_key(|e| (!ready(e), e.pricing.as_ref().map_or(u64::MAX, Pricing::combined)))
}

fn context_length(model: &Model) -> Option<u64> {
    model.context_length.or_else(|| model.endpoints.iter().filter_map(|e| e.context_length).max())
}

fn entry(model: &Model, catalog: &Effective) -> Value {
    let top = top(model, catalog);
    let mut parameters: Vec<&str> =
        model.endpoints.iter().flat_map(|e| &e.supported_parameters).map(String::as_str).collect();
    parameters.sort_unstable();
    parameters.dedup();
    json!({
        "id": model.id,
        "canonical_slug": model.id,
        "name": model.name,
        "created": model.created.unwrap_or(0),
        "description": model.description.as_deref().unwrap_or_default(),
        "context_length": context_length(model),
        "architecture": architecture(&model.architecture),
        "pricing": pricing(top.and_then(|e| e.pricing.as_ref())),
        "top_provider": {
            "is_moderated": false,
            "context_length": top.and_then(|e| e.context_length).or(model.context_length),
            "max_completion_tokens": top.and_then(|e| e.max_completion_tokens),
        },
        "per_request_limits": null,
        "supported_parameters": parameters,
        "default_parameters": null,
        "supported_voices": null,
        "expiration_date": model.expiration_date,
        "links": { "details": format!("/api/v1/models/{}/endpoints", model.id) },
    })
}

/// Without a known price both are -1, as OpenRouter writes prices that it cannot name.
fn pricing(pricing: Option<&Pricing>) -> Value {
    pricing.map_or_else(|| json!({ "prompt": "-1", "completion": "-1" }), |pricing| json!(pricing))
}

fn architecture(architecture: &Architecture) -> Value {
    let Architecture { modality, input_modalities, output_modalities, tokenizer, instruct_type } = architecture;
    json!({
        "modality": modality.clone().unwrap_or_else(|| format!("{}->{}", input_modalities.join("+"), output_modalities.join("+"))),
        "input_modalities": input_modalities,
        "output_modalities": output_modalities,
        "tokenizer": tokenizer.as_deref().unwrap_or("Other"),
        "instruct_type": instruct_type,
    })
}

fn with_endpoints(model: &Model, catalog: &Effective, all: bool) -> Value {
    let rows = model.endpoints.iter().filter_map(|endpoint| {
        let provider = catalog.provider(&endpoint.provider)?;
        (all || provider.ready()).then(|| endpoint_row(model, endpoint, provider))
    });
    json!({
        "id": model.id,
        "name": model.name,
        "created": model.created.unwrap_or(0),
        "description": model.description.as_deref().unwrap_or_default(),
        "architecture": architecture(&model.architecture),
        "endpoints": rows.collect::<Vec<_>>(),
    })
}

fn endpoint_row(model: &Model, endpoint: &Endpoint, provider: &EffectiveProvider) -> Value {
    let tools = endpoint.supported_parameters.iter().any(|name| name == "tool_choice");
    // A cache that is read at a price and written at none works by itself.
    let implicit =
        endpoint.pricing.as_ref().is_some_and(|p| p.input_cache_read.is_some() && p.input_cache_write.is_none());
    json!({
        "name": format!("{} | {}", provider.row.name, model.id),
        "model_id": model.id,
        "model_name": model.name,
        "provider_name": provider.row.name,
        "tag": endpoint.tag(),
        "context_length": endpoint.context_length.or_else(|| context_length(model)).unwrap_or(0),
        "max_completion_tokens": endpoint.max_completion_tokens,
        "max_prompt_tokens": null,
        "quantization": endpoint.quantization,
        "pricing": pricing(endpoint.pricing.as_ref()),
        "service_tier": endpoint.service_tier,
        "supported_parameters": endpoint.supported_parameters,
        "supports_implicit_caching": implicit,
        "supports_tool_choice": { "auto": tools, "none": tools, "required": tools, "function": tools },
        "native_tools": {},
        "status": if provider.ready() { 0 } else { -10 },
        "uptime_last_5m": null,
        "uptime_last_30m": null,
        "uptime_last_1d": null,
        "latency_last_30m": null,
        "throughput_last_30m": null,
        "supports_diarization": false,
        "supports_voice_cloning": false,
        "expiration_date": endpoint.expiration_date,
    })
}

fn providers(query: &Query, catalog: &Effective) -> Result<Value> {
    let all = query::flag(query, "all")?;
    let rows =
        catalog.providers().filter(|provider| all || provider.ready()).map(|EffectiveProvider { row, .. }| {
            json!({
                "name": row.name,
                "slug": row.slug,
                "privacy_policy_url": row.privacy_policy_url,
                "terms_of_service_url": row.terms_of_service_url,
                "status_page_url": row.status_page_url,
                "headquarters": row.headquarters,
                "data_policy": row.data_policy,
                "region": row.region,
            })
        });
    Ok(json!({ "data": rows.collect::<Vec<_>>() }))
}

/// The address of the page that begins at `offset`, with the same filters.
fn next_page(query: &Query, offset: usize) -> String {
    let kept = query
        .iter()
        .filter(|(name, _)| name != "offset")
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    let parts: Vec<String> = kept.chain([format!("offset={offset}")]).collect();
    format!("/api/v1/models?{}", parts.join("&"))
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~,".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{Rows, StoredRow};

    fn rows() -> Rows {
        let provider = |slug: &str, name: &str, credential: Option<&str>| StoredRow {
            row: serde_json::from_value(
                json!({ "slug": slug, "name": name, "dialect": "openai", "base_url": "https://example.com/v1" }),
            )
            .unwrap(),
            credential_type: credential.map(str::to_owned),
        };
        let model = |id: &str, created: i64, rest: Value| -> Model {
            let mut row = json!({ "id": id, "name": id.to_uppercase(), "created": created });
            row.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            serde_json::from_value(row).unwrap()
        };
        let endpoint = |provider: &str, prompt: &str| json!({ "provider": provider, "upstream_model": "m", "pricing": { "prompt": prompt, "completion": "0" } });
        Rows {
            revision: 1,
            providers: vec![
                provider("cold", "Cold", None),
                provider("fast", "Fast", Some("bearer")),
                provider("slow", "Slow", Some("none")),
            ],
            models: vec![
                model(
                    "demo/cheap",
                    30,
                    json!({ "context_length": 100, "endpoints": [endpoint("fast", "0.000002"), endpoint("slow", "0.000001")] }),
                ),
                model(
                    "demo/dear",
                    10,
                    json!({ "context_length": 300, "endpoints": [
                    endpoint("cold", "0.000001"),
                    { "provider": "fast", "tag": "fast/fp8", "quantization": "fp8", "upstream_model": "m", "context_length": 200, "max_completion_tokens": 50,
                      "supported_parameters": ["tools", "tool_choice"], "pricing": { "prompt": "0.000009", "completion": "0", "input_cache_read": "0.000001" } } ] }),
                ),
                model(
                    "demo/draw",
                    40,
                    json!({ "architecture": { "output_modalities": ["image"] }, "endpoints": [endpoint("fast", "0")] }),
                ),
                model("demo/free:free", 20, json!({ "endpoints": [{ "provider": "slow", "upstream_model": "m" }] })),
                model("other/unreachable", 50, json!({ "endpoints": [endpoint("cold", "0")] })),
            ],
            hidden: vec![],
        }
    }

    fn ask(target: &str) -> Result<Value> {
        let (path, search) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<_> = search
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        answer(path, &query, &Effective::of(rows(), &|_| false))
    }

    fn ids(target: &str) -> Vec<String> {
        ask(target).unwrap()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_can_be_called_is_listed_filtered_and_sorted() {
        for (search, expected) in [
            ("", "cheap dear free:free"),
            ("output_modalities=all", "cheap dear draw free:free"),
            ("output_modalities=image,audio", "draw"),
            ("supported_parameters=tools,tool_choice", "dear"),
            ("providers=Slow", "cheap free:free"),
            ("model_authors=other", ""),
            ("model_authors=other&all=true", "unreachable"),
            ("q=EAR", "dear"),
            ("context=200", "dear"),
            ("sort=newest", "cheap free:free dear"),
            ("sort=pricing-low-to-high", "cheap dear free:free"),
            ("sort=pricing-high-to-low", "dear cheap free:free"),
            ("sort=context-high-to-low", "dear cheap free:free"),
            ("sort=most-popular", "cheap dear free:free"),
            ("unknown=ignored", "cheap dear free:free"),
        ] {
            let names: Vec<String> =
                ids(&format!("/models?{search}")).iter().map(|id| id.split_once('/').unwrap().1.to_owned()).collect();
            assert_eq!(names.join(" "), expected, "{search}");
            let count = ask(&format!("/models/count?{search}")).unwrap();
            assert_eq!(count["data"]["count"], names.len(), "{search}");
        }
        assert!(ids("/models?all=true").len() > 100, "the built-in catalog");
        assert_eq!(ask("/models?sort=best").unwrap_err().param.as_deref(), Some("sort"));
    }

    #[test]
    fn pages_lead_to_each_other() {
        let first = ask("/models?limit=2&q=demo").unwrap();
        assert_eq!((first["data"].as_array().unwrap().len(), &first["total_count"]), (2, &json!(3)));
        let next = first["links"]["next"].as_str().unwrap();
        assert_eq!(next, "/api/v1/models?limit=2&q=demo&offset=2");
        let second = ask(next.strip_prefix("/api/v1").unwrap()).unwrap();
        assert_eq!(
            (second["data"][0]["id"].as_str(), &second["links"]["next"]),
            (Some("demo/free:free"), &Value::Null)
        );
        assert_eq!(ask("/models?offset=9").unwrap()["data"], json!([]));
    }

    #[test]
    fn a_model_shows_the_facts_of_its_cheapest_endpoint_that_can_be_called() {
        let row = ask("/model/demo/dear").unwrap()["data"].clone();
        assert_eq!(
            (&row["pricing"]["prompt"], &row["top_provider"]["context_length"]),
            (&json!("0.000009"), &json!(200))
        );
        assert_eq!(
            (&row["architecture"]["modality"], &row["links"]["details"]),
            (&json!("text->text"), &json!("/api/v1/models/demo/dear/endpoints"))
        );
        assert_eq!(ask("/model/demo/dear:nitro").unwrap()["data"]["id"], "demo/dear");
        assert_eq!(ask("/model/demo/free:free").unwrap()["data"]["pricing"]["prompt"], "-1");
        for path in ["/model/demo/none", "/models/demo/none/endpoints"] {
            assert_eq!(ask(path).unwrap_err().status(), 404);
        }
    }

    #[test]
    fn endpoints_and_providers_are_those_that_are_ready_unless_all_are_asked_for() {
        let tags = |target: &str| -> Vec<(String, i64)> {
            let rows = ask(target).unwrap()["data"]["endpoints"].clone();
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| (row["tag"].as_str().unwrap().to_owned(), row["status"].as_i64().unwrap()))
                .collect()
        };
        assert_eq!(tags("/models/demo/dear/endpoints"), [("fast/fp8".to_owned(), 0)]);
        assert_eq!(
            tags("/models/demo/dear/endpoints?all=true"),
            [("cold".to_owned(), -10), ("fast/fp8".to_owned(), 0)]
        );
        assert_eq!(tags("/models/other/unreachable/endpoints"), []);
        let row = ask("/models/demo/dear/endpoints").unwrap()["data"]["endpoints"][0].clone();
        assert_eq!(
            (&row["name"], &row["supports_tool_choice"]["auto"], &row["supports_implicit_caching"]),
            (&json!("Fast | demo/dear"), &json!(true), &json!(true))
        );
        let slugs = |target: &str| ask(target).unwrap()["data"].as_array().unwrap().len();
        assert_eq!(slugs("/providers"), 2);
        assert!(slugs("/providers?all=true") > 10);
    }
}
