use serde_json::{Value, json};

use super::*;

const NOW: Millis = Millis(1_795_000_000_123);

/// The key is six bytes that are none: good enough for whoever does not sign.
pub(crate) const SERVICE_ACCOUNT: &str = r#"{"type":"service_account","project_id":"p-1",
    "client_email":"a@p-1.iam.gserviceaccount.com",
    "private_key":"-----BEGIN PRIVATE KEY-----\nAQID\nBAUG\n-----END PRIVATE KEY-----\n"}"#;

fn row(members: Value) -> Provider {
    let mut row = json!({ "slug": "p", "name": "P", "base_url": "https://p.example/v1" });
    row.as_object_mut().unwrap().extend(members.as_object().cloned().unwrap());
    serde_json::from_value(row).unwrap()
}

fn bearer(value: &str) -> Credential {
    Credential::Bearer { value: value.to_owned() }
}

fn aws() -> Credential {
    Credential::Aws {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI".to_owned(),
        session_token: Some("session".to_owned()),
    }
}

fn account() -> Credential {
    Credential::GoogleServiceAccount { json: SERVICE_ACCOUNT.to_owned() }
}

fn entra() -> Credential {
    Credential::Entra { tenant_id: "t".to_owned(), client_id: "c".to_owned(), client_secret: "s3cret".to_owned() }
}

fn shown(credential: &Credential, row: &Provider, token: Option<&Token>) -> Result<Shown> {
    let call = Call { row, url: "https://p.example/v1/x", body: b"{}" };
    show(&Access::of(credential, row.dialect), &call, token, NOW)
}

fn headers(credential: &Credential, row: &Provider, token: Option<&Token>) -> Vec<(String, String)> {
    match shown(credential, row, token).unwrap() {
        Shown::Headers(headers) => headers,
        Shown::Token(_) => panic!("a token is asked for"),
    }
}

fn token_request(credential: &Credential, row: &Provider) -> TokenRequest {
    match shown(credential, row, None).unwrap() {
        Shown::Token(request) => request,
        Shown::Headers(_) => panic!("no token is asked for"),
    }
}

#[test]
fn a_bearer_credential_goes_where_the_format_has_its_keys() {
    let version = ("anthropic-version", "2023-06-01");
    for (dialect, value, expected) in [
        ("openai", "sk-1", vec![("authorization", "Bearer sk-1")]),
        ("openai-responses", "sk-1", vec![("authorization", "Bearer sk-1")]),
        ("azure-openai", "0a1b", vec![("api-key", "0a1b")]),
        ("azure-openai", "eyJ0.e.s", vec![("authorization", "Bearer eyJ0.e.s")]),
        ("anthropic", "sk-ant-api03-x", vec![version, ("x-api-key", "sk-ant-api03-x")]),
        ("anthropic", "sk-ant-oat01-x", vec![version, ("authorization", "Bearer sk-ant-oat01-x")]),
        ("gemini", "AIzaX", vec![("x-goog-api-key", "AIzaX")]),
        ("gemini", "ya29.x", vec![("authorization", "Bearer ya29.x")]),
        ("vertex", "ya29.x", vec![("authorization", "Bearer ya29.x")]),
        ("bedrock", "ABSK", vec![("authorization", "Bearer ABSK")]),
        ("cohere", "co-1", vec![("authorization", "Bearer co-1")]),
        ("ollama", "o-1", vec![("authorization", "Bearer o-1")]),
    ] {
        let row = row(json!({ "dialect": dialect }));
        assert_eq!(row.dialect.as_str(), dialect);
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(headers(&bearer(value), &row, None), expected, "{dialect} {value}");
    }
    let own = Credential::Header { name: "X-Own".to_owned(), value: "v".to_owned() };
    assert_eq!(headers(&own, &row(json!({ "dialect": "openai" })), None), [("x-own".to_owned(), "v".to_owned())]);
    assert_eq!(headers(&Credential::None {}, &row(json!({ "dialect": "ollama" })), None), []);
}

#[test]
fn an_aws_key_signs_what_is_sent_where_it_is_sent() {
    let row = row(json!({ "dialect": "bedrock", "region": "eu-west-1" }));
    let signed = headers(&aws(), &row, None);
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-amz-date", "x-amz-security-token", "authorization"]);
    let place = "Credential=AKIDEXAMPLE/20261118/eu-west-1/bedrock/aws4_request";
    assert!(signed[2].1.contains(place), "{}", signed[2].1);
    assert!(!signed.iter().any(|(_, value)| value.contains("wJalrXUtnFEMI")));
    let other = |url: &str, body: &[u8]| {
        let access = Access::of(&aws(), Dialect::Bedrock);
        match show(&access, &Call { row: &row, url, body }, None, NOW).unwrap() {
            Shown::Headers(headers) => headers[2].1.clone(),
            Shown::Token(_) => panic!(),
        }
    };
    let signature = other("https://p.example/v1/x", b"{}");
    assert_eq!(signature, signed[2].1);
    assert_ne!(signature, other("https://p.example/v1/y", b"{}"));
    assert_ne!(signature, other("https://p.example/v1/x", b"{ }"));
}

#[test]
fn a_service_account_asks_for_a_token_that_is_to_be_signed() {
    let vertex = row(json!({ "dialect": "vertex", "region": "global" }));
    let request = token_request(&account(), &vertex);
    assert_eq!(request.url, "https://oauth2.googleapis.com/token");
    let SignRequest { message, pkcs8_der } = request.sign.unwrap();
    assert_eq!(pkcs8_der, [1, 2, 3, 4, 5, 6]);
    // What comes back from signing goes to the end of the form.
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    assert_eq!(request.form, format!("grant_type={grant}&assertion={message}."));
    let own = row(json!({ "dialect": "vertex", "region": "global", "token_url": "https://sts.example/token" }));
    assert_eq!(token_request(&account(), &own).url, "https://sts.example/token");
    let token = Token { value: "ya29.t".to_owned(), expires_at: NOW.plus(1) };
    assert_eq!(headers(&account(), &vertex, Some(&token)), [("authorization".to_owned(), "Bearer ya29.t".to_owned())]);
    assert_eq!(Access::of(&account(), Dialect::Vertex).project().as_deref(), Some("p-1"));
}

#[test]
fn an_application_asks_for_a_token_with_its_secret() {
    let azure = row(json!({ "dialect": "azure-openai" }));
    let request = token_request(&entra(), &azure);
    assert_eq!(request.url, "https://login.microsoftonline.com/t/oauth2/v2.0/token");
    assert!(request.sign.is_none() && request.form.contains("client_secret=s3cret"));
    let token = Token { value: "eyJ".to_owned(), expires_at: NOW.plus(1) };
    assert_eq!(headers(&entra(), &azure, Some(&token)), [("authorization".to_owned(), "Bearer eyJ".to_owned())]);
}

#[test]
fn credentials_fit_their_rows() {
    let bedrock = |region: &str| row(json!({ "dialect": "bedrock", "region": region }));
    let vertex = |project: Value| row(json!({ "dialect": "vertex", "region": "global", "project": project }));
    let of = |dialect: &str| row(json!({ "dialect": dialect }));
    let json = |text: &str| Credential::GoogleServiceAccount { json: text.to_owned() };
    let nameless = SERVICE_ACCOUNT.replace("project_id", "x");
    for (credential, row, field) in [
        (bearer("x"), of("openai"), None),
        (aws(), bedrock("us-east-1"), None),
        (aws(), of("bedrock"), Some("region")),
        (aws(), of("openai"), Some("credential.type")),
        (account(), vertex(Value::Null), None),
        (account(), of("gemini"), None),
        (account(), of("openai"), Some("credential.type")),
        (json(&nameless), vertex("p".into()), None),
        (json(&nameless), vertex(Value::Null), Some("project")),
        (json("canary"), vertex("p".into()), Some("credential.json")),
        (bearer("ya29.x"), vertex(Value::Null), Some("project")),
        (bearer("ya29.x"), vertex("p".into()), None),
        (entra(), of("azure-openai"), None),
        (entra(), of("openai"), Some("credential.type")),
        (bearer("a\nb"), of("openai"), Some("credential.value")),
    ] {
        let error = check(&credential, &row).err();
        assert_eq!(error.as_ref().and_then(|error| error.param.as_deref()), field, "{} {row:?}", credential.kind());
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[test]
fn nothing_that_is_printed_has_a_secret_in_it() {
    let row = row(json!({ "dialect": "azure-openai" }));
    let of = |credential: &Credential| format!("{:?}", Access::of(credential, Dialect::Openai));
    for (text, secret) in [
        (of(&bearer("sk-1")), "sk-1"),
        (of(&aws()), "wJalrXUtnFEMI"),
        (of(&account()), "PRIVATE"),
        (of(&entra()), "s3cret"),
        (format!("{:?}", token_request(&entra(), &row)), "s3cret"),
        (format!("{:?}", shown(&bearer("0a1b"), &row, None)), "0a1b"),
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!Access::None.is_ready() && Access::Open.is_ready());
    assert!(shown(&Credential::None {}, &row, None).is_ok());
    let call = Call { row: &row, url: "https://p.example", body: b"" };
    assert!(show(&Access::None, &call, None, NOW).is_err());
}
