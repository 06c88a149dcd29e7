//! Every route of the gateway but the way in which it is served: path, methods, and which key it takes.
//!
//! Paths are below `/v1`, which `/api/v1` means too; Gemini's are below `/v1beta` and `/v1alpha` as well.
//! What is not in the table does not exist.

use std::borrow::Cow;

use crate::{
    auth::KeyKind,
    error::{Error, ErrorKind, Result},
};

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Any key that is valid.
    AnyKey,
    /// One kind of key.
    Only(KeyKind),
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The entry module and the pipeline, before this table is asked.
    Entry,
    /// The `Account` object of the key's organization.
    Account,
    /// The `Catalog` object.
    Catalog,
    /// The catalog as clients see it.
    Models,
    /// D1.
    Records,
    /// The `Account` object, for events that Stripe has signed.
    Stripe,
}

/// A row.
#[derive(Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Segments in braces match any one segment; what stands before a colon, any number of them.
    pub path: &'static str,
    /// Who may call.
    pub access: Access,
    /// Who answers.
    pub answer: Answer,
}

const INFERENCE: Access = Access::Only(KeyKind::Inference);
const MANAGEMENT: Access = Access::Only(KeyKind::Management);

const fn route(method: &'static str, path: &'static str, access: Access, answer: Answer) -> Route {
    Route { method, path, access, answer }
}

/// The table.
#[rustfmt::skip]
pub static ROUTES: &[Route] = &[
    route("GET",    "/health",                                Access::Public, Answer::Entry),
    route("GET",    "/openapi.json",                          Access::Public, Answer::Entry),
    route("POST",   "/chat/completions",                      INFERENCE,      Answer::Entry),
    route("POST",   "/completions",                           INFERENCE,      Answer::Entry),
    route("POST",   "/responses",                             INFERENCE,      Answer::Entry),
    route("POST",   "/messages",                              INFERENCE,      Answer::Entry),
    route("POST",   "/messages/count_tokens",                 INFERENCE,      Answer::Entry),
    route("POST",   "/embeddings",                            INFERENCE,      Answer::Entry),
    route("POST",   "/rerank",                                INFERENCE,      Answer::Entry),
    route("POST",   "/moderations",                           INFERENCE,      Answer::Entry),
    route("POST",   "/images/generations",                    INFERENCE,      Answer::Entry),
    route("POST",   "/audio/speech",                          INFERENCE,      Answer::Entry),
    route("POST",   "/audio/transcriptions",                  INFERENCE,      Answer::Entry),
    route("POST",   "/models/{model}:generateContent",        INFERENCE,      Answer::Entry),
    route("POST",   "/models/{model}:streamGenerateContent",  INFERENCE,      Answer::Entry),
    route("POST",   "/models/{model}:countTokens",            INFERENCE,      Answer::Entry),
    route("POST",   "/models/{model}:embedContent",           INFERENCE,      Answer::Entry),
    route("POST",   "/models/{model}:batchEmbedContents",     INFERENCE,      Answer::Entry),
    route("POST",   "/route",                                 INFERENCE,      Answer::Entry),

    route("GET",    "/models",                                Access::AnyKey, Answer::Models),
    route("GET",    "/models/count",                          Access::AnyKey, Answer::Models),
    route("GET",    "/models/{author}/{slug}/endpoints",      Access::AnyKey, Answer::Models),
    route("GET",    "/model/{author}/{slug}",                 Access::AnyKey, Answer::Models),
    route("GET",    "/providers",                             Access::AnyKey, Answer::Models),
    route("GET",    "/key",                                   Access::AnyKey, Answer::Account),
    route("GET",    "/generation",                            Access::AnyKey, Answer::Records),

    route("GET",    "/keys",                                  MANAGEMENT,     Answer::Account),
    route("POST",   "/keys",                                  MANAGEMENT,     Answer::Account),
    route("GET",    "/keys/{hash}",                           MANAGEMENT,     Answer::Account),
    route("PATCH",  "/keys/{hash}",                           MANAGEMENT,     Answer::Account),
    route("DELETE", "/keys/{hash}",                           MANAGEMENT,     Answer::Account),
    route("POST",   "/keys/{hash}/rotate",                    MANAGEMENT,     Answer::Account),
    route("GET",    "/workspaces",                            MANAGEMENT,     Answer::Account),
    route("POST",   "/workspaces",                            MANAGEMENT,     Answer::Account),
    route("GET",    "/workspaces/{id}",                       MANAGEMENT,     Answer::Account),
    route("PATCH",  "/workspaces/{id}",                       MANAGEMENT,     Answer::Account),
    route("DELETE", "/workspaces/{id}",                       MANAGEMENT,     Answer::Account),
    route("GET",    "/workspaces/{id}/budgets",               MANAGEMENT,     Answer::Account),
    route("GET",    "/workspaces/{id}/budgets/{interval}",    MANAGEMENT,     Answer::Account),
    route("PUT",    "/workspaces/{id}/budgets/{interval}",    MANAGEMENT,     Answer::Account),
    route("DELETE", "/workspaces/{id}/budgets/{interval}",    MANAGEMENT,     Answer::Account),
    route("GET",    "/budgets",                               MANAGEMENT,     Answer::Account),
    route("POST",   "/budgets",                               MANAGEMENT,     Answer::Account),
    route("PUT",    "/budgets",                               MANAGEMENT,     Answer::Account),
    route("GET",    "/budgets/{id}",                          MANAGEMENT,     Answer::Account),
    route("PATCH",  "/budgets/{id}",                          MANAGEMENT,     Answer::Account),
    route("DELETE", "/budgets/{id}",                          MANAGEMENT,     Answer::Account),
    route("POST",   "/budgets/{id}/forgive",                  MANAGEMENT,     Answer::Account),
    route("GET",    "/sessions/{id}",                         MANAGEMENT,     Answer::Account),
    route("POST",   "/sessions/{id}/stop",                    MANAGEMENT,     Answer::Account),
    route("POST",   "/sessions/{id}/resume",                  MANAGEMENT,     Answer::Account),
    route("GET",    "/users/{id}",                            MANAGEMENT,     Answer::Account),
    route("POST",   "/users/{id}/stop",                       MANAGEMENT,     Answer::Account),
    route("POST",   "/users/{id}/resume",                     MANAGEMENT,     Answer::Account),
    route("GET",    "/organization",                          MANAGEMENT,     Answer::Account),
    route("PATCH",  "/organization",                          MANAGEMENT,     Answer::Account),
    route("GET",    "/credits",                               MANAGEMENT,     Answer::Account),
    route("POST",   "/credits",                               MANAGEMENT,     Answer::Account),
    route("GET",    "/ledger",                                MANAGEMENT,     Answer::Account),
    route("GET",    "/ledger/check",                          MANAGEMENT,     Answer::Account),
    route("GET",    "/statements",                            MANAGEMENT,     Answer::Account),
    route("GET",    "/statements/{month}",                    MANAGEMENT,     Answer::Account),
    route("GET",    "/alerts",                                MANAGEMENT,     Answer::Account),
    route("GET",    "/webhooks/stripe",                       MANAGEMENT,     Answer::Account),
    route("POST",   "/webhooks/stripe",                       Access::Public, Answer::Stripe),
    route("GET",    "/activity",                              MANAGEMENT,     Answer::Records),
    route("GET",    "/generations",                           MANAGEMENT,     Answer::Records),

    route("GET",    "/admin/providers",                       MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/providers/{slug}",                MANAGEMENT,     Answer::Catalog),
    route("PUT",    "/admin/providers/{slug}",                MANAGEMENT,     Answer::Catalog),
    route("DELETE", "/admin/providers/{slug}",                MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/models",                          MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/models/{author}/{slug}",          MANAGEMENT,     Answer::Catalog),
    route("PUT",    "/admin/models/{author}/{slug}",          MANAGEMENT,     Answer::Catalog),
    route("DELETE", "/admin/models/{author}/{slug}",          MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/models/{author}/{slug}/prices",   MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/catalog/export",                  MANAGEMENT,     Answer::Catalog),
    route("POST",   "/admin/catalog/import",                  MANAGEMENT,     Answer::Catalog),
    route("GET",    "/admin/dead-letters",                    MANAGEMENT,     Answer::Records),
    route("GET",    "/admin/dead-letters/{id}",               MANAGEMENT,     Answer::Records),
    route("DELETE", "/admin/dead-letters/{id}",               MANAGEMENT,     Answer::Records),
];

/// Why there is no route.
#[derive(Debug)]
pub struct NoRoute {
    /// The answer.
    pub error: Error,
    /// The value of `Allow`, where only the method was wrong.
    pub allow: Option<String>,
}

/// The path below the base URL, without a slash at its end: `/api/v1/keys` and `/v1/keys/` are `/keys`.
/// Gemini's are `/models/{model}:{method}`, also where a client leaves `models/` out.
pub fn below_base(path: &str) -> Cow<'_, str> {
    let path = path.strip_prefix("/api").filter(|rest| rest.starts_with("/v1")).unwrap_or(path);
    if let Some(rest) = ["/v1beta/", "/v1alpha/"].iter().find_map(|base| path.strip_prefix(base)) {
        let called = format!("/models/{}", rest.strip_prefix("models/").unwrap_or(rest));
        if names_method(&called) {
            return called.into();
        }
    }
    let path = path.strip_prefix("/v1").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    path.trim_end_matches('/').into()
}

/// Whether a path below the base is `/models/{model}:{method}`, whatever the method.
fn names_method(path: &str) -> bool {
    let called = path.strip_prefix("/models/").and_then(|rest| rest.rsplit_once(':'));
    called.is_some_and(|(_, method)| !method.contains('/'))
}

/// Whether who calls that path reads Gemini's errors. (Below `/v1` the colon of a `GET` may be that of a
/// model's variant.)
pub fn is_geminis(method: &str, path: &str) -> bool {
    let own = method == "POST" || ["/v1beta/", "/v1alpha/"].iter().any(|base| path.contains(base));
    own && names_method(&below_base(path))
}

/// The row of a request. `path` is [`below_base`], still percent-encoded.
pub fn find(method: &str, path: &str) -> Result<&'static Route, Box<NoRoute>> {
    let here: Vec<&Route> = ROUTES.iter().filter(|route| matches(route.path, path)).collect();
    if let Some(route) = here.iter().find(|route| route.method == method) {
        return Ok(route);
    }
    let allow = here.iter().map(|route| route.method).collect::<Vec<_>>().join(", ");
    Err(Box::new(if here.is_empty() {
        NoRoute {
            error: Error::new(
                ErrorKind::NotFound,
                format!("There is nothing at {path:?}. GET /openapi.json lists what there is."),
            ),
            allow: None,
        }
    } else {
        NoRoute {
            error: Error::new(ErrorKind::MethodNotAllowed, format!("{path} does not take {method}, but {allow}.")),
            allow: Some(allow),
        }
    }))
}

fn matches(pattern: &str, path: &str) -> bool {
    // The name of a model, which has slashes of its own, and a method.
    if let Some((before, method)) = pattern.split_once("{model}") {
        let name = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(method));
        return name.is_some_and(|name| !name.is_empty());
    }
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_route_is_listed_once_and_only_health_the_description_and_signed_events_are_open() {
        let listed: HashSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        assert_eq!(listed.len(), ROUTES.len());
        for route in ROUTES {
            let signed = route.answer == Answer::Stripe;
            let open = signed || ["/health", "/openapi.json"].contains(&route.path);
            assert_eq!(route.access == Access::Public, open, "{route:?}");
            let managed = route.path.starts_with("/admin")
                || route.path.starts_with("/keys")
                || route.method != "GET" && route.answer != Answer::Entry && !signed;
            assert!(!managed || route.access == MANAGEMENT, "{route:?}");
            let example = route.path.replace(['{', '}'], "");
            assert!(std::ptr::eq(find(route.method, &example).unwrap(), route), "{route:?}");
        }
    }

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let text = include_str!("../../schema/openapi.yaml");
        let paths = text.split("\npaths:\n").nth(1).unwrap().split("\ncomponents:\n").next().unwrap();
        let mut described = HashSet::new();
        let mut path = "";
        for line in paths.lines() {
            if let Some(name) = line.strip_prefix("  /") {
                path = line.trim().trim_end_matches(':');
                assert!(name.ends_with(':'));
            } else if let Some(method) = line.strip_prefix("    ").and_then(|rest| rest.strip_suffix(':'))
                && ["get", "post", "put", "patch", "delete"].contains(&method)
            {
                described.insert((method.to_uppercase(), path.to_owned()));
            }
        }
        let listed: HashSet<_> = ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(described, listed);
    }

    #[test]
    fn the_description_says_which_writes_may_be_repeated() {
        let text = include_str!("../../schema/openapi.yaml");
        for route in ROUTES.iter().filter(|route| route.method != "GET") {
            let of_path = text.split(&format!("\n  {}:\n", route.path)).nth(1).unwrap().split("\n  /").next().unwrap();
            let heading = format!("    {}:\n", route.method.to_lowercase());
            let operation = of_path.split(&heading).nth(1).unwrap();
            // Up to the next method of this path.
            let operation = ["\n    post:", "\n    put:", "\n    patch:", "\n    delete:", "\n    get:"]
                .iter()
                .fold(operation, |rest, next| rest.split(next).next().unwrap());
            let told = operation.contains("parameters/IdempotencyKey") && operation.contains("\"409\"");
            let writes = matches!(route.answer, Answer::Account | Answer::Entry) && route.path != "/route";
            assert_eq!(told, writes, "{route:?}");
        }
    }

    #[test]
    fn both_bases_mean_the_same_and_what_is_unlisted_does_not_exist() {
        for path in ["/v1/keys", "/api/v1/keys", "/v1/keys/"] {
            assert_eq!(below_base(path), "/keys");
        }
        for (path, below) in
            [("/v1", ""), ("/health", "/health"), ("/api/keys", "/api/keys"), ("/v10/keys", "/v10/keys")]
        {
            assert_eq!(below_base(path), below);
        }
        for (method, path) in [
            ("GET", ""),
            ("GET", "/"),
            ("GET", "/nothing"),
            ("GET", "/keys//"),
            ("GET", "/rows"),
            ("GET", "/records/x"),
            ("GET", "/models/a/b/c"),
        ] {
            assert_eq!(find(method, path).unwrap_err().error.status(), 404, "{method} {path}");
        }
        let wrong = find("PUT", "/keys/abc").unwrap_err();
        assert_eq!((wrong.error.status(), wrong.allow.as_deref()), (405, Some("GET, PATCH, DELETE")));
        assert_eq!(find("GET", "/chat/completions").unwrap_err().allow.as_deref(), Some("POST"));
        assert!(find("GET", "/models/a/b:c/endpoints").is_ok());
    }

    #[test]
    fn geminis_paths_name_a_model_and_a_method() {
        for base in ["/v1beta", "/v1alpha", "/v1", "/api/v1", "/api/v1beta"] {
            let path = format!("{base}/models/a/b:floor:countTokens");
            let below = below_base(&path);
            assert_eq!(below, "/models/a/b:floor:countTokens");
            assert!(is_geminis("POST", &path) && find("POST", &below).is_ok(), "{path}");
            assert_eq!(find("GET", &below).unwrap_err().allow.as_deref(), Some("POST"), "{path}");
        }
        assert_eq!(below_base("/v1beta/a/b:countTokens"), "/models/a/b:countTokens");
        for path in ["/v1beta/models/a/b:predictLongRunning", "/v1/models/:countTokens", "/v1beta/models/a/b:"] {
            let below = below_base(path);
            assert!(is_geminis("POST", path), "{path}");
            assert_eq!(find("POST", &below).unwrap_err().error.status(), 404, "{path}");
        }
        // Nothing else is below Gemini's bases.
        for path in ["/v1beta/keys", "/v1beta/models", "/v1beta/models/a/b:c/endpoints"] {
            assert_eq!(below_base(path), path);
            assert_eq!(find("GET", path).unwrap_err().error.status(), 404, "{path}");
        }
        assert!(is_geminis("GET", "/v1beta/a/b:countTokens") && !is_geminis("GET", "/v1/models/a/b:floor"));
        assert!(!is_geminis("POST", "/v1/models/a/b:c/endpoints") && !is_geminis("POST", "/v1/models/a/b"));
    }
}
