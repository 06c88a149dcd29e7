//! What an isolate knows: copies of keys, models and providers, how old they are, and what has to be
//! asked before a request can be decided. No I/O: it names the questions ([`Ask`]), the shell asks them.
//!
//! | copy | used without asking | refreshed in the background after | asked again first after |
//! |---|---|---|---|
//! | key, with the account's word that nothing changed | 8 s since that word | 4 s | 8 s |
//! | unknown key | 5 s | - | 5 s |
//! | model, providers | for ever if the store is down | 10 s | 5 min |
//!
//! Every answer of the `Account` object says which keys changed since the isolate last heard, so with
//! traffic flowing the account's word is always fresh and costs nothing. KV may be minutes out of date
//! in another place: a record from KV counts only if it is not older than the change the account names.
//! Together this is what bounds revocation (10 s, whatever KV does).

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use crate::{
    auth::{KeyHash, KeyRecord, kv_key},
    catalog::{
        Model, Provider, builtin,
        credential::{Credential, MasterKey},
        snapshot::{ModelEntry, PROVIDERS_KEY, ProvidersEntry, model_key},
    },
    metering::CommitReply,
    time::Millis,
};

/// How long the account's word is good for.
pub const VALID_MS: i64 = 8_000;
const REFRESH_KEY_MS: i64 = 4_000;
const UNKNOWN_KEY_MS: i64 = 5_000;
const REFRESH_CATALOG_MS: i64 = 10_000;
const STALE_CATALOG_MS: i64 = 300_000;
const UNKNOWN_MODEL_MS: i64 = 5_000;
/// Copies of one kind kept; beyond it they are dropped and asked for again.
const CAPACITY: usize = 10_000;

/// A question for a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A value of KV.
    Kv(String),
    /// The account's word, and records of keys.
    Account {
        /// Which account.
        org: String,
        /// The revision the isolate knows.
        since: u64,
        /// Records wanted.
        keys: Vec<KeyHash>,
    },
}

/// Where a thing stands that a request needs.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    /// Known.
    Found(T),
    /// Known not to exist.
    Absent,
    /// To be asked first.
    Ask(Vec<Ask>),
    /// The store was asked and did not answer.
    Unavailable(String),
}

/// A provider as requests use it.
#[derive(Debug)]
pub struct KnownProvider {
    /// Its row.
    pub row: Provider,
    /// How the gateway shows who it is.
    pub access: Access,
}

/// Whether, and how, a provider can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// With this header.
    Header(String, String),
    /// Without any.
    Open,
    /// Not at all: there is no credential, or it cannot be opened.
    None,
}

impl Access {
    fn with(credential: &Credential) -> Self {
        credential.header().map_or(Self::Open, |(name, value)| Self::Header(name, value))
    }
}

impl KnownProvider {
    /// Whether it can be called.
    pub fn is_ready(&self) -> bool {
        self.access != Access::None
    }
}

/// All providers, by slug.
pub type Providers = BTreeMap<String, Rc<KnownProvider>>;

/// A model as requests use it.
#[derive(Debug)]
pub struct KnownModel {
    /// The model.
    pub model: Model,
    /// Where its prices come from.
    pub price_version: String,
}

#[derive(Debug)]
struct Copy<T> {
    value: T,
    at: Millis,
    asked: Millis,
}

#[derive(Debug, Default)]
struct Account {
    revision: u64,
    valid_from: Option<Millis>,
    changed: HashMap<KeyHash, u64>,
    asked: Millis,
    failed: Option<(Millis, String)>,
}

/// The isolate's memory.
pub struct Known {
    master_key: Option<MasterKey>,
    env: BTreeMap<String, String>,
    keys: HashMap<KeyHash, Copy<Option<Rc<KeyRecord>>>>,
    kv_keys: HashMap<KeyHash, Option<Rc<KeyRecord>>>,
    accounts: HashMap<String, Account>,
    models: HashMap<String, Copy<Option<Rc<KnownModel>>>>,
    providers: Option<Copy<Rc<Providers>>>,
    kv_failed: HashMap<String, (Millis, String)>,
    problems: Vec<String>,
}

impl Known {
    /// Nothing is known yet. `env`: the text bindings, among them providers' keys.
    pub fn new(env: BTreeMap<String, String>, master_key: Option<MasterKey>) -> Self {
        Self {
            master_key,
            env,
            keys: HashMap::new(),
            kv_keys: HashMap::new(),
            accounts: HashMap::new(),
            models: HashMap::new(),
            providers: None,
            kv_failed: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// Forgets all copies: something was changed through this isolate.
    pub fn forget(&mut self) {
        self.keys.clear();
        self.kv_keys.clear();
        self.accounts.clear();
        self.models.clear();
        self.providers = None;
        self.kv_failed.clear();
    }

    /// The account's revision as known here.
    pub fn revision(&self, org: &str) -> u64 {
        self.accounts.get(org).map_or(0, |account| account.revision)
    }

    /// What went wrong while learning, for the log.
    pub fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// The record of a key.
    pub fn key(&mut self, hash: &KeyHash, now: Millis) -> Lookup<Rc<KeyRecord>> {
        let org = match self.keys.get(hash) {
            Some(Copy { value: Some(record), .. }) => record.org.clone(),
            _ => crate::DEFAULT_ORG.to_owned(),
        };
        let account = self.accounts.entry(org.clone()).or_default();
        let valid = account.valid_from.is_some_and(|from| now.since(from) < VALID_MS);
        if !valid
            && let Some((at, why)) = &account.failed
            && now.since(*at) < 1_000
        {
            return Lookup::Unavailable(why.clone());
        }
        let changed_at = account.changed.get(hash).copied().unwrap_or(0);
        let word = Ask::Account { org: org.clone(), since: account.revision, keys: Vec::new() };
        let (revision, current) = (account.revision, |record: &KeyRecord| record.revision >= changed_at);
        match self.keys.get(hash) {
            Some(Copy { value: Some(record), .. }) if current(record) => {
                return if valid { Lookup::Found(Rc::clone(record)) } else { Lookup::Ask(vec![word]) };
            }
            Some(Copy { value: None, at, .. }) if now.since(*at) < UNKNOWN_KEY_MS => return Lookup::Absent,
            _ => {}
        }
        // Not known here. KV is near, but only the account knows whether KV is right; asked together.
        match self.kv_keys.remove(hash) {
            Some(Some(record)) if valid && current(&record) => {
                self.keep_key(hash.clone(), Some(Rc::clone(&record)), now);
                Lookup::Found(record)
            }
            Some(_) => Lookup::Ask(vec![Ask::Account { org, since: revision, keys: vec![hash.clone()] }]),
            None if self.kv_failed.contains_key(&kv_key(hash)) => {
                Lookup::Ask(vec![Ask::Account { org, since: revision, keys: vec![hash.clone()] }])
            }
            None if valid => Lookup::Ask(vec![Ask::Kv(kv_key(hash))]),
            None => Lookup::Ask(vec![Ask::Kv(kv_key(hash)), word]),
        }
    }

    /// A model by its id.
    pub fn model(&mut self, id: &str, now: Millis) -> Lookup<Rc<KnownModel>> {
        let key = model_key(id);
        let failure = self.kv_failed.get(&key).filter(|(at, _)| now.since(*at) < 1_000).map(|(_, why)| why.clone());
        match self.models.get(id) {
            Some(Copy { value: Some(model), at, .. }) if now.since(*at) < STALE_CATALOG_MS || failure.is_some() => {
                Lookup::Found(Rc::clone(model))
            }
            Some(Copy { value: None, at, .. }) if now.since(*at) < UNKNOWN_MODEL_MS => Lookup::Absent,
            _ => match failure {
                // The built-in catalog needs no store.
                Some(why) => builtin_model(id).map_or(Lookup::Unavailable(why), Lookup::Found),
                None => Lookup::Ask(vec![Ask::Kv(key)]),
            },
        }
    }

    /// All providers.
    pub fn providers(&mut self, now: Millis) -> Lookup<Rc<Providers>> {
        let failure = self.kv_failed.get(PROVIDERS_KEY).filter(|(at, _)| now.since(*at) < 1_000);
        match (&self.providers, failure) {
            (Some(copy), None) if now.since(copy.at) < STALE_CATALOG_MS => Lookup::Found(Rc::clone(&copy.value)),
            (Some(copy), Some(_)) => Lookup::Found(Rc::clone(&copy.value)),
            (None, Some((_, why))) => Lookup::Unavailable(why.clone()),
            _ => Lookup::Ask(vec![Ask::Kv(PROVIDERS_KEY.to_owned())]),
        }
    }

    /// What a request has just used and what should be asked again in the background. Each question is
    /// given out once, until its answer comes or a few seconds have passed.
    pub fn refreshes(&mut self, org: &str, models: &[String], now: Millis) -> Vec<Ask> {
        let mut asks = Vec::new();
        if let Some(account) = self.accounts.get_mut(org)
            && account.valid_from.is_some_and(|from| now.since(from) >= REFRESH_KEY_MS)
            && now.since(account.asked) >= 2_000
        {
            account.asked = now;
            asks.push(Ask::Account { org: org.to_owned(), since: account.revision, keys: Vec::new() });
        }
        let due = |at: Millis, asked: Millis| now.since(at) >= REFRESH_CATALOG_MS && now.since(asked) >= 5_000;
        for id in models {
            if let Some(copy) = self.models.get_mut(id).filter(|copy| due(copy.at, copy.asked)) {
                copy.asked = now;
                asks.push(Ask::Kv(model_key(id)));
            }
        }
        if let Some(copy) = self.providers.as_mut().filter(|copy| due(copy.at, copy.asked)) {
            copy.asked = now;
            asks.push(Ask::Kv(PROVIDERS_KEY.to_owned()));
        }
        asks
    }

    /// KV's answer: the value, or nothing.
    pub fn learn_kv(&mut self, key: &str, value: Option<&str>, now: Millis) {
        self.kv_failed.remove(key);
        if let Some(hash) = key.strip_prefix("key:").and_then(KeyHash::parse) {
            let record = value.and_then(|text| self.read::<KeyRecord>(key, text)).filter(|record| record.hash == hash);
            self.kv_keys.insert(hash, record.map(Rc::new));
        } else if let Some(id) = key.strip_prefix("model:") {
            let known = match value.and_then(|text| self.read::<ModelEntry>(key, text)) {
                Some(ModelEntry { model: Some(model), revision, .. }) => {
                    Some(Rc::new(KnownModel { model, price_version: format!("catalog-{revision}") }))
                }
                Some(ModelEntry { model: None, .. }) => None,
                None => builtin_model(id),
            };
            if self.models.len() >= CAPACITY {
                self.models.clear();
            }
            self.models.insert(id.to_owned(), Copy { value: known, at: now, asked: now });
        } else if key == PROVIDERS_KEY {
            let rows = value.and_then(|text| self.read::<ProvidersEntry>(key, text));
            let providers = self.resolve_providers(rows);
            self.providers = Some(Copy { value: Rc::new(providers), at: now, asked: now });
        }
    }

    /// KV did not answer.
    pub fn kv_unavailable(&mut self, key: &str, why: &str, now: Millis) {
        if self.kv_failed.len() >= CAPACITY {
            self.kv_failed.clear();
        }
        self.kv_failed.insert(key.to_owned(), (now, why.to_owned()));
    }

    /// The account's answer to a question asked at `asked`.
    pub fn learn_account(&mut self, org: &str, reply: CommitReply, asked: Millis, now: Millis) {
        let account = self.accounts.entry(org.to_owned()).or_default();
        account.failed = None;
        account.valid_from = Some(asked.max(account.valid_from.unwrap_or_default()));
        account.revision = account.revision.max(reply.revision);
        if let Some(changes) = reply.changes {
            account.changed.extend(changes);
        } else {
            self.keys.clear();
            account.changed.clear();
        }
        for (hash, record) in reply.keys {
            self.keep_key(hash, record.map(Rc::new), now);
        }
    }

    /// The account did not answer.
    pub fn account_unavailable(&mut self, org: &str, why: &str, now: Millis) {
        self.accounts.entry(org.to_owned()).or_default().failed = Some((now, why.to_owned()));
    }

    fn keep_key(&mut self, hash: KeyHash, value: Option<Rc<KeyRecord>>, now: Millis) {
        if self.keys.len() >= CAPACITY {
            self.keys.clear();
        }
        self.keys.insert(hash, Copy { value, at: now, asked: now });
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self, key: &str, text: &str) -> Option<T> {
        serde_json::from_str(text)
            .map_err(|error| self.problems.push(format!("the copy of {key} in KV cannot be read: {error}")))
            .ok()
    }

    /// Built-in rows overlaid by the operator's; credentials opened, or taken from the environment.
    fn resolve_providers(&mut self, stored: Option<ProvidersEntry>) -> Providers {
        let mut providers = BTreeMap::new();
        for row in builtin::providers() {
            let access = self.access_from_env(&row);
            providers.insert(row.slug.clone(), Rc::new(KnownProvider { row, access }));
        }
        for stored in stored.map(|entry| entry.providers).unwrap_or_default() {
            let access = match &stored.credential {
                Some(sealed) => {
                    let opened = match &self.master_key {
                        Some(key) => key.open(sealed, &stored.row.slug),
                        None => Err("SLUICE_MASTER_KEY is not set".to_owned()),
                    };
                    match opened {
                        Ok(credential) => Access::with(&credential),
                        Err(why) => {
                            self.problems
                                .push(format!("the credential of provider {} cannot be used: {why}", stored.row.slug));
                            Access::None
                        }
                    }
                }
                None => self.access_from_env(&stored.row),
            };
            providers.insert(stored.row.slug.clone(), Rc::new(KnownProvider { row: stored.row, access }));
        }
        providers
    }

    fn access_from_env(&self, row: &Provider) -> Access {
        let mut values = row.api_key_env.iter().filter_map(|name| self.env.get(name)).map(|value| value.trim());
        match values.find(|value| !value.is_empty()).map(|value| Credential::Bearer { value: value.to_owned() }) {
            Some(credential) if credential.check().is_ok() => Access::with(&credential),
            _ => Access::None,
        }
    }
}

fn builtin_model(id: &str) -> Option<Rc<KnownModel>> {
    builtin::model(id).map(|model| Rc::new(KnownModel { model, price_version: "builtin".to_owned() }))
}
