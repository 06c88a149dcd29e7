//! The operator's catalog over a database in memory.

use serde_json::{Value, json};

use super::*;
use crate::{
    account::projection,
    auth::VirtualKey,
    catalog::{
        Model, builtin,
        credential::Credential,
        snapshot::{ModelEntry, ProvidersEntry, model_key},
    },
    testing::Memory,
};

struct Catalog {
    sql: Memory,
    env: &'static [&'static str],
}

fn master() -> Result<MasterKey, String> {
    MasterKey::parse("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
}

impl Catalog {
    fn new() -> Self {
        let sql = Memory::new();
        migrate(&sql).unwrap();
        migrate(&sql).unwrap();
        Self { sql, env: &[] }
    }

    /// One with the provider `demo`.
    fn with_demo() -> Self {
        let catalog = Self::new();
        catalog.ask("PUT", "/admin/providers/demo", demo(json!({}))).unwrap();
        catalog
    }

    fn ask(&self, method: &str, target: &str, body: Value) -> crate::error::Result<Value> {
        let (path, search) = target.split_once('?').unwrap_or((target, ""));
        let pairs = search.split('&').filter_map(|pair| pair.split_once('='));
        let request = AdminRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: (!body.is_null()).then_some(body),
            actor: VirtualKey::generate(&[1; 48]).hash(),
        };
        let env = |name: &str| self.env.contains(&name);
        let context = Context { now: Millis(1_795_176_000_000), master: master(), nonce: [5; 12], env: &env };
        handle(&self.sql, &request, &context).map(|answer| answer.body)
    }

    fn refused(&self, method: &str, target: &str, body: Value) -> (u16, String) {
        let error = self.ask(method, target, body).unwrap_err();
        (error.status(), error.param.unwrap_or_default())
    }

    fn copy(&self, key: &str) -> Option<String> {
        let writes = projection::pending(&self.sql, 1000).unwrap();
        writes.into_iter().find(|write| write.key == key).expect("a copy waits").value
    }

    fn model_copy(&self, id: &str) -> Option<ModelEntry> {
        self.copy(&model_key(id)).map(|value| serde_json::from_str(&value).unwrap())
    }

    fn providers_copy(&self) -> ProvidersEntry {
        serde_json::from_str(&self.copy("providers").unwrap()).unwrap()
    }
}

fn with(mut object: Value, change: &Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn demo(change: Value) -> Value {
    let row = json!({
        "name": "Demo", "dialect": "openai", "base_url": "http://127.0.0.1:9000/v1", "allow_private_network": true,
        "credential": { "type": "bearer", "value": "sk-secret-value" },
    });
    with(row, &change)
}

fn model(change: Value) -> Value {
    let row = json!({
        "name": "Demo: Small", "context_length": 8192,
        "endpoints": [{ "provider": "demo", "upstream_model": "small", "pricing": { "prompt": "0.000001", "completion": "0.000002" } }],
    });
    with(row, &change)
}

fn shipped() -> Model {
    builtin::models().next().unwrap()
}

#[test]
fn credentials_go_in_and_never_out() {
    let catalog = Catalog::new();
    let answer = catalog.ask("PUT", "/admin/providers/demo", demo(json!({}))).unwrap();
    assert_eq!(answer["data"]["credential"], json!({ "type": "bearer", "configured": true }));
    let answers = [
        answer,
        catalog.ask("GET", "/admin/providers/demo", Value::Null).unwrap(),
        catalog.ask("GET", "/admin/providers", Value::Null).unwrap(),
        catalog.ask("GET", "/admin/catalog/export", Value::Null).unwrap(),
        catalog.ask("GET", "/rows", Value::Null).unwrap(),
        Value::from(catalog.copy("providers").unwrap()),
        json!(catalog.sql.run("SELECT * FROM providers", &[]).unwrap()),
    ];
    for text in answers.map(|answer| answer.to_string()) {
        assert!(!text.contains("secret-value"), "{text}");
    }
    let sealed = catalog.providers_copy().providers[0].credential.clone().unwrap();
    let opened = master().unwrap().open(&sealed, "demo").unwrap();
    assert!(opened == Credential::Bearer { value: "sk-secret-value".to_owned() });
}

#[test]
fn a_credential_stays_until_replaced_and_only_for_its_host() {
    let catalog = Catalog::with_demo();
    let without = |change: Value| {
        let mut row = demo(change);
        row.as_object_mut().unwrap().remove("credential");
        row
    };
    let put = |body| catalog.ask("PUT", "/admin/providers/demo", body).map(|answer| answer["data"].clone());
    let row = put(without(json!({ "name": "Other", "base_url": "http://127.0.0.1:9000/v2" }))).unwrap();
    assert_eq!(
        (&row["name"], &row["credential"]["type"], &row["ready"]),
        (&json!("Other"), &json!("bearer"), &json!(true))
    );
    assert_eq!(
        put(without(json!({ "base_url": "https://evil.example/v1" }))).unwrap_err().param.as_deref(),
        Some("credential")
    );
    let row = put(demo(json!({ "base_url": "https://new.example/v1", "credential": { "type": "none" } }))).unwrap();
    assert_eq!((&row["credential"]["type"], &row["ready"]), (&json!("none"), &json!(true)));
    let row = put(demo(json!({ "credential": null }))).unwrap();
    assert_eq!((&row["credential"], &row["ready"]), (&Value::Null, &json!(false)));
}

#[test]
fn secrets_of_the_environment_go_only_where_the_shipped_catalog_sends_them() {
    let mut catalog = Catalog::new();
    catalog.env = &["OPENAI_API_KEY", "SLUICE_MASTER_KEY"];
    let row = catalog.ask("GET", "/admin/providers/openai", Value::Null).unwrap()["data"].clone();
    assert_eq!((&row["ready"], &row["built_in"], &row["overridden"]), (&json!(true), &json!(true), &json!(false)));
    let row = catalog.ask("PUT", "/admin/providers/openai", json!({ "name": "Ours" })).unwrap()["data"].clone();
    assert_eq!(
        (&row["name"], &row["base_url"], &row["ready"]),
        (&json!("Ours"), &json!("https://api.openai.com/v1"), &json!(true))
    );
    let row = catalog.ask("PUT", "/admin/providers/openai", json!({ "base_url": "https://evil.example/v1" })).unwrap()
        ["data"]
        .clone();
    assert_eq!((row.get("api_key_env"), &row["ready"]), (None, &json!(false)));
    for body in [
        json!({ "base_url": "https://evil.example", "api_key_env": ["OPENAI_API_KEY"] }),
        json!({ "api_key_env": ["SLUICE_MASTER_KEY"] }),
    ] {
        assert_eq!(catalog.refused("PUT", "/admin/providers/openai", body), (400, "api_key_env".to_owned()));
    }
    catalog.env = &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OLLAMA_BASE_URL", "AZURE_OPENAI_API_KEY"];
    let ready = |slug: &str, body: Value| {
        let row = catalog.ask("PUT", &format!("/admin/providers/{slug}"), body).unwrap()["data"].clone();
        (row["ready"].as_bool().unwrap(), row.get("env").is_some())
    };
    assert_eq!(ready("bedrock", json!({ "region": "eu-west-1" })), (true, true));
    assert_eq!(ready("bedrock", json!({ "base_url": "https://evil.example" })), (false, false));
    assert_eq!(ready("vertex", json!({ "token_url": "https://evil.example", "project": "p" })), (false, false));
    assert_eq!(ready("azure", json!({})), (false, true), "its address is not set");
    assert_eq!(ready("ollama", json!({})), (true, true));
    assert_eq!(
        ready("ollama", json!({ "base_url": "http://localhost:11434" })),
        (false, false),
        "the operator's address"
    );
    let azure = json!({ "env": { "base_url": ["AZURE_OPENAI_ENDPOINT"], "client_secret": ["SLUICE_MASTER_KEY"] } });
    assert_eq!(catalog.refused("PUT", "/admin/providers/azure", azure), (400, "env".to_owned()));
    assert_eq!(catalog.ask("DELETE", "/admin/providers/openai", Value::Null).unwrap(), json!({ "deleted": true }));
    let row = catalog.ask("GET", "/admin/providers/openai", Value::Null).unwrap()["data"].clone();
    assert_eq!((&row["name"], &row["overridden"]), (&json!("OpenAI"), &json!(false)));
    assert_eq!(catalog.refused("DELETE", "/admin/providers/openai", Value::Null).0, 404);
}

#[test]
fn every_format_takes_its_own_kind_of_credential() {
    let catalog = Catalog::new();
    let account = json!({ "client_email": "a@p.iam.gserviceaccount.com", "project_id": "p",
        "private_key": "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n" });
    let aws = json!({ "type": "aws", "access_key_id": "AKIA1", "secret_access_key": "canary" });
    let entra = json!({ "type": "entra", "tenant_id": "t", "client_id": "c", "client_secret": "canary" });
    for (dialect, members, credential) in [
        (
            "openai-responses",
            json!({ "base_url": "https://x.example/v1" }),
            json!({ "type": "bearer", "value": "canary" }),
        ),
        ("anthropic", json!({ "base_url": "https://x.example/v1" }), json!({ "type": "bearer", "value": "canary" })),
        ("cohere", json!({ "base_url": "https://x.example" }), json!({ "type": "bearer", "value": "canary" })),
        ("bedrock", json!({ "region": "eu-west-1" }), aws.clone()),
        ("bedrock", json!({ "region": "eu-west-1" }), json!({ "type": "bearer", "value": "canary" })),
        ("vertex", json!({ "region": "global" }), json!({ "type": "google_service_account", "json": account })),
        (
            "vertex",
            json!({ "region": "eu", "project": "p", "token_url": "https://sts.example/t" }),
            json!({ "type": "google_service_account", "json": account.to_string() }),
        ),
        ("azure-openai", json!({ "base_url": "https://r.example", "api_version": "2024-10-21" }), entra),
        (
            "ollama",
            json!({ "base_url": "http://127.0.0.1:11434", "allow_private_network": true }),
            json!({ "type": "none" }),
        ),
    ] {
        let mut body = json!({ "name": "P", "dialect": dialect, "credential": credential });
        body.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
        let answer = catalog.ask("PUT", "/admin/providers/own", body).unwrap()["data"].clone();
        assert_eq!(answer["credential"], json!({ "type": credential["type"], "configured": true }), "{dialect}");
        assert_eq!((&answer["dialect"], &answer["ready"]), (&json!(dialect), &json!(true)), "{answer}");
        for (member, value) in members.as_object().unwrap() {
            assert_eq!(&answer[member], value, "{dialect}");
        }
        let told = format!("{answer} {}", catalog.copy("providers").unwrap());
        assert!(!told.contains("canary") && !told.contains("PRIVATE KEY"), "{told}");
    }
    // A credential is kept only where it can be used, and shown to nobody else.
    let put = |body| catalog.refused("PUT", "/admin/providers/own", body);
    let bedrock = |change: Value| {
        let mut row = json!({ "name": "P", "dialect": "bedrock", "region": "eu-west-1" });
        row.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        row
    };
    catalog.ask("PUT", "/admin/providers/own", bedrock(json!({ "credential": aws }))).unwrap();
    catalog.ask("PUT", "/admin/providers/own", bedrock(json!({ "region": "us-east-1" }))).unwrap();
    assert_eq!(put(bedrock(json!({ "base_url": "https://evil.example" }))).1, "credential");
    assert_eq!(put(bedrock(json!({ "dialect": "vertex", "project": "p" }))).1, "credential");
}

#[test]
fn wrong_rows_are_refused_by_the_path_of_the_fault() {
    let catalog = Catalog::with_demo();
    for (body, param) in [
        (demo(json!({ "name": "" })), "name"),
        (demo(json!({ "dialect": "morse" })), "dialect"),
        (demo(json!({ "base_url": "http://example.com" })), "base_url"),
        (demo(json!({ "timeouts_ms": { "idle": -1 } })), "timeouts_ms.idle"),
        (demo(json!({ "data_policy": { "train": true } })), "data_policy.train"),
        (demo(json!({ "headers": { "Authorization": "x" } })), "headers.Authorization"),
        (demo(json!({ "credential": "sk-secret-value" })), "credential"),
        (demo(json!({ "credential": { "type": "bearer" } })), "credential.value"),
        (demo(json!({ "credential": { "type": "password" } })), "credential.type"),
        (
            demo(json!({ "credential": { "type": "aws", "access_key_id": "A", "secret_access_key": "s" } })),
            "credential.type",
        ),
        (demo(json!({ "project": "p" })), "project"),
        (demo(json!({ "api_version": "2024-10-21" })), "api_version"),
        (demo(json!({ "token_url": "https://x.example" })), "token_url"),
        (demo(json!({ "dialect": "azure-openai", "api_version": "a b" })), "api_version"),
        (demo(json!({ "dialect": "azure-openai", "token_url": "http://x.example" })), "token_url"),
        (demo(json!({ "dialect": "vertex" })), "region"),
        (demo(json!({ "dialect": "vertex", "region": "evil.example" })), "region"),
        (demo(json!({ "dialect": "vertex", "region": "global" })), "project"),
        (demo(json!({ "dialect": "vertex", "region": "global", "project": "a/b" })), "project"),
        (demo(json!({ "dialect": "bedrock", "base_url": "" })), "region"),
        (demo(json!({ "dialect": "bedrock", "base_url": "", "region": "us" })), "region"),
        (demo(json!({ "dialect": "ollama", "base_url": "" })), "base_url"),
        (demo(json!({ "env": { "base_url": ["OPENAI_API_KEY"] } })), "env"),
        (demo(json!({ "slug": "other" })), "slug"),
        (demo(json!({ "colour": "red" })), "colour"),
    ] {
        let error = catalog.ask("PUT", "/admin/providers/demo", body.clone()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
        assert!(!error.message.contains("secret-value"));
    }
    for (id, body, param) in [
        ("demo/small", model(json!({ "endpoints": [] })), "endpoints"),
        (
            "demo/small",
            model(json!({ "endpoints": [{ "provider": "nobody", "upstream_model": "m" }] })),
            "endpoints[0].provider",
        ),
        (
            "demo/small",
            model(
                json!({ "endpoints": [{ "provider": "demo", "upstream_model": "m", "pricing": { "prompt": 1, "completion": "0" } }] }),
            ),
            "endpoints[0].pricing.prompt",
        ),
        ("demo/small", model(json!({ "context_length": "8k" })), "context_length"),
        ("demo/small", model(json!({ "id": "demo/large" })), "id"),
        ("demo/Small", model(json!({})), "id"),
        ("demo/small:floor", model(json!({})), "id"),
        ("-demo/small", model(json!({})), "id"),
    ] {
        assert_eq!(
            catalog.refused("PUT", &format!("/admin/models/{id}"), body.clone()),
            (400, param.to_owned()),
            "{id} {body}"
        );
    }
    assert_eq!(catalog.ask("GET", "/rows", Value::Null).unwrap()["revision"], 1);
}

#[test]
fn a_model_lives_from_put_to_delete_with_its_copy() {
    let catalog = Catalog::with_demo();
    let path = "/admin/models/demo/small-2.5:free";
    let row = catalog.ask("PUT", path, model(json!({}))).unwrap()["data"].clone();
    assert_eq!(
        (&row["id"], &row["created"], &row["built_in"]),
        (&json!("demo/small-2.5:free"), &json!(1_795_176_000), &json!(false))
    );
    let copy = catalog.model_copy("demo/small-2.5:free").unwrap();
    assert_eq!((copy.revision, copy.model.unwrap().name), (2, "Demo: Small".to_owned()));
    assert_eq!(catalog.refused("DELETE", "/admin/providers/demo", Value::Null).0, 409);
    catalog.ask("DELETE", path, Value::Null).unwrap();
    assert_eq!(catalog.model_copy("demo/small-2.5:free"), None);
    for method in ["GET", "DELETE"] {
        assert_eq!(catalog.refused(method, path, Value::Null).0, 404);
    }
    catalog.ask("DELETE", "/admin/providers/demo", Value::Null).unwrap();
    assert_eq!(catalog.providers_copy().providers, []);
}

#[test]
fn built_in_models_are_changed_hidden_and_restored() {
    let catalog = Catalog::with_demo();
    let id = shipped().id;
    let path = format!("/admin/models/{id}");
    let state = || {
        let row = catalog.ask("GET", &path, Value::Null).unwrap()["data"].clone();
        (row["name"].as_str().unwrap().to_owned(), row["overridden"] == true, row["hidden"] == true)
    };
    let listed = || {
        Effective::of(serde_json::from_value(catalog.ask("GET", "/rows", Value::Null).unwrap()).unwrap(), &|_| false)
            .model(&id)
            .map(|m| m.name)
    };
    assert_eq!((state(), listed()), ((shipped().name, false, false), Some(shipped().name)));
    catalog.ask("PUT", &path, model(json!({}))).unwrap();
    assert_eq!((state(), listed()), (("Demo: Small".to_owned(), true, false), Some("Demo: Small".to_owned())));
    catalog.ask("DELETE", &path, Value::Null).unwrap();
    assert_eq!((state(), listed()), ((shipped().name, false, true), None));
    assert_eq!(catalog.model_copy(&id).unwrap().model, None);
    assert_eq!(catalog.refused("DELETE", &path, Value::Null).0, 404);
    catalog.ask("DELETE", &format!("{path}?restore=true"), Value::Null).unwrap();
    assert_eq!((state(), listed()), ((shipped().name, false, false), Some(shipped().name)));
    assert_eq!(catalog.model_copy(&id), None);
}

#[test]
fn every_price_ever_set_can_be_told() {
    let catalog = Catalog::with_demo();
    let path = "/admin/models/demo/small";
    catalog.ask("PUT", path, model(json!({}))).unwrap();
    let dearer = json!([{ "provider": "demo", "tag": "demo/fp8", "upstream_model": "small", "pricing": { "prompt": "0.000003", "completion": "0" } }]);
    catalog.ask("PUT", path, model(json!({ "endpoints": dearer }))).unwrap();
    catalog.ask("DELETE", path, Value::Null).unwrap();
    let rows = catalog.ask("GET", &format!("{path}/prices"), Value::Null).unwrap()["data"].clone();
    let facts: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["revision"].as_u64().unwrap(), row["endpoints"][0].clone()))
        .collect();
    assert_eq!(
        facts,
        [
            (
                3,
                json!({ "provider": "demo", "tag": "demo/fp8", "pricing": { "prompt": "0.000003", "completion": "0" } })
            ),
            (
                2,
                json!({ "provider": "demo", "tag": "demo", "pricing": { "prompt": "0.000001", "completion": "0.000002" } })
            ),
        ]
    );
    assert_eq!(rows[0]["actor"], VirtualKey::generate(&[1; 48]).hash().as_str());
    assert_eq!(catalog.refused("GET", "/admin/models/demo/never/prices", Value::Null).0, 404);
}

#[test]
fn what_is_exported_can_be_imported() {
    let catalog = Catalog::with_demo();
    catalog.ask("PUT", "/admin/providers/openai", json!({ "name": "Ours" })).unwrap();
    catalog.ask("PUT", "/admin/models/demo/small", model(json!({}))).unwrap();
    catalog.ask("DELETE", &format!("/admin/models/{}", shipped().id), Value::Null).unwrap();
    let document = catalog.ask("GET", "/admin/catalog/export", Value::Null).unwrap();

    let other = Catalog::new();
    let answer = other.ask("POST", "/admin/catalog/import", document.clone()).unwrap();
    assert_eq!(answer["data"], json!({ "revision": 1, "providers": 2, "models": 1, "hidden": 1 }));
    let again = other.ask("GET", "/admin/catalog/export", Value::Null).unwrap();
    for part in ["providers", "models", "hidden"] {
        assert_eq!(again[part], document[part], "{part}");
    }
    assert_eq!(other.model_copy(&shipped().id).unwrap().model, None);

    // Into itself: the credential stays where it was.
    catalog.ask("POST", "/admin/catalog/import", document).unwrap();
    assert_eq!(
        catalog.ask("GET", "/admin/providers/demo", Value::Null).unwrap()["data"]["credential"]["configured"],
        true
    );
}

#[test]
fn an_import_replaces_only_when_told_to() {
    let catalog = Catalog::with_demo();
    catalog.ask("PUT", "/admin/models/demo/small", model(json!({}))).unwrap();
    let ids = || {
        let rows = catalog.ask("GET", "/admin/models?source=operator", Value::Null).unwrap();
        rows["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    catalog
        .ask("POST", "/admin/catalog/import", json!({ "v": 1, "models": [model(json!({ "id": "demo/large" }))] }))
        .unwrap();
    assert_eq!(ids(), ["demo/large", "demo/small"]);
    let refused = catalog.refused(
        "POST",
        "/admin/catalog/import",
        json!({ "v": 1, "mode": "replace", "models": [model(json!({ "id": "demo/large" }))] }),
    );
    assert_eq!(refused, (400, "models[0].endpoints[0].provider".to_owned()), "its provider would be gone");
    let mut row = demo(json!({ "slug": "demo" }));
    row.as_object_mut().unwrap().remove("credential");
    catalog
        .ask(
            "POST",
            "/admin/catalog/import",
            json!({ "v": 1, "mode": "replace", "providers": [row], "models": [model(json!({ "id": "demo/large" }))] }),
        )
        .unwrap();
    assert_eq!(ids(), ["demo/large"]);
    assert_eq!(catalog.model_copy("demo/small"), None);
}

#[test]
fn a_faulty_row_spoils_the_whole_import_and_is_named() {
    let catalog = Catalog::with_demo();
    let good = || model(json!({ "id": "demo/good" }));
    for (document, param) in [
        (json!({ "v": 2 }), "v"),
        (json!({}), "v"),
        (json!({ "v": 1, "mode": "add" }), "mode"),
        (json!({ "v": 1, "models": [good(), model(json!({ "id": "demo/x", "name": 1 }))] }), "models[1].name"),
        (json!({ "v": 1, "models": [good(), model(json!({ "id": "demo/x", "name": "" }))] }), "models[1].name"),
        (json!({ "v": 1, "models": [good(), good()] }), "models[1].id"),
        (json!({ "v": 1, "models": [good(), model(json!({}))] }), "models[1].id"),
        (json!({ "v": 1, "providers": [{ "slug": "x", "name": "X", "dialect": "openai" }] }), "providers[0].base_url"),
        (json!({ "v": 1, "providers": [demo(json!({ "slug": "demo" }))] }), "providers[0].credential"),
        (json!({ "v": 1, "models": [good()], "hidden": ["demo/good"] }), "hidden[0]"),
    ] {
        assert_eq!(
            catalog.refused("POST", "/admin/catalog/import", document.clone()),
            (400, param.to_owned()),
            "{document}"
        );
    }
    let rows = catalog.ask("GET", "/rows", Value::Null).unwrap();
    assert_eq!((&rows["revision"], &rows["models"]), (&json!(1), &json!([])));
}

#[test]
fn without_a_master_key_credentials_are_refused_and_the_rest_works() {
    let catalog = Catalog::new();
    let ask = |body| {
        let request = AdminRequest {
            method: "PUT".into(),
            path: "/admin/providers/demo".into(),
            query: vec![],
            body: Some(body),
            actor: VirtualKey::generate(&[1; 48]).hash(),
        };
        let context = Context { now: Millis(0), master: MasterKey::parse("short"), nonce: [0; 12], env: &|_| false };
        handle(&catalog.sql, &request, &context)
    };
    let error = ask(demo(json!({}))).unwrap_err();
    assert_eq!((error.status(), error.code), (503, Some("master_key_missing")));
    assert_eq!(ask(demo(json!({ "credential": null }))).unwrap().status, 200);
}
