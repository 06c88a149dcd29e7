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
    budget::{holder::Holder, wire},
    catalog::{
        Dialect, Model, Provider, builtin,
        credential::{MasterKey, SealedCredential},
        snapshot::{ModelEntry, PROVIDERS_KEY, ProvidersEntry, model_key},
    },
    idempotency::{Claim, Claimed},
    metering::CommitReply,
    provider::{access, environment},
    time::Millis,
};

pub use crate::provider::access::Access;

/// How long the account's word is good for.
pub const VALID_MS: i64 = 8_000;
const REFRESH_KEY_MS: i64 = 4_000;
const UNKNOWN_KEY_MS: i64 = 5_000;
const REFRESH_CATALOG_MS: i64 = 10_000;
const STALE_CATALOG_MS: i64 = 300_000;
const UNKNOWN_MODEL_MS: i64 = 5_000;
/// A question without an answer is asked again after so long.
const ASKING_MS: i64 = 900;
const ACCOUNT: &str = "account";
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
        /// Keys whose meters are wanted.
        charged: Vec<KeyHash>,
        /// Meters and slices wanted.
        ask: wire::Ask,
        /// A request that is to be answered once.
        claim: Option<Claim>,
    },
}

impl Ask {
    fn account(org: &str, since: u64) -> Self {
        let (keys, charged) = (Vec::new(), Vec::new());
        Self::Account { org: org.to_owned(), since, keys, charged, ask: wire::Ask::default(), claim: None }
    }
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

impl KnownProvider {
    /// Whether it can be called.
    pub fn is_ready(&self) -> bool {
        self.access.is_ready()
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
    /// Copies from KV that are older may have missed a change that the account no longer lists.
    floor: u64,
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
    /// What is known of meters, and held of them.
    pub holder: Holder,
    /// Questions under way, and since when: requests that have the same wait for the one answer.
    asking: HashMap<String, Millis>,
    /// What became of claims, by their owner, until their requests go on.
    claimed: HashMap<String, Claimed>,
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
            holder: Holder::default(),
            asking: HashMap::new(),
            claimed: HashMap::new(),
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
        self.holder.forget_accounts(0);
        self.asking.clear();
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
        let valid = account.valid_from.is_some_and(|from| now.since(from) < plant!(WordForAMinute, VALID_MS, 60_000));
        if !valid
            && let Some((at, why)) = &account.failed
            && now.since(*at) < 1_000
        {
            return Lookup::Unavailable(why.clone());
        }
        let changed_at = account.changed.get(hash).copied().unwrap_or(0);
        let (revision, floor) = (account.revision, account.floor);
        let word = Ask::account(&org, revision);
        // Who is not known here will be charged here: its meters are asked for along with it.
        let ask = |keys: Vec<KeyHash>| {
            let charged = vec![hash.clone()];
            Ask::Account { org: org.clone(), since: revision, keys, charged, ask: wire::Ask::default(), claim: None }
        };
        let current = |record: &KeyRecord| record.revision >= changed_at;
        match self.keys.get(hash) {
            Some(Copy { value: Some(record), .. }) if current(record) => {
                return if valid { Lookup::Found(Rc::clone(record)) } else { Lookup::Ask(vec![word]) };
            }
            Some(Copy { value: None, at, .. }) if now.since(*at) < UNKNOWN_KEY_MS => return Lookup::Absent,
            _ => {}
        }
        // Not known here. KV is near, but only the account knows whether KV is right; asked together.
        match self.kv_keys.remove(hash) {
            Some(Some(record)) if plant!(KvBelieved, valid && current(&record) && record.revision >= floor, true) => {
                self.keep_key(hash.clone(), Some(Rc::clone(&record)), now);
                Lookup::Found(record)
            }
            Some(_) => Lookup::Ask(vec![ask(vec![hash.clone()])]),
            None if self.kv_failed.contains_key(&kv_key(hash)) => Lookup::Ask(vec![ask(vec![hash.clone()])]),
            None => Lookup::Ask(vec![Ask::Kv(kv_key(hash)), ask(Vec::new())]),
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

    /// Why the account could not be asked, if it was tried a moment ago.
    pub fn unreachable(&self, org: &str, now: Millis) -> Option<&str> {
        let (at, why) = self.accounts.get(org)?.failed.as_ref()?;
        (now.since(*at) < 1_000).then_some(why)
    }

    /// A question about meters.
    pub fn about_meters(&self, org: &str, ask: wire::Ask) -> Ask {
        let (keys, charged) = (Vec::new(), Vec::new());
        Ask::Account { org: org.to_owned(), since: self.revision(org), keys, charged, ask, claim: None }
    }

    /// The question whether a request is the first of its idempotency key.
    pub fn about_claim(&self, org: &str, claim: Claim) -> Ask {
        let (keys, charged, ask) = (Vec::new(), Vec::new(), wire::Ask::default());
        Ask::Account { org: org.to_owned(), since: self.revision(org), keys, charged, ask, claim: Some(claim) }
    }

    /// Of these questions, those that nobody is asking at the moment.
    pub fn first_to_ask(&mut self, mut asks: Vec<Ask>, now: Millis) -> Vec<Ask> {
        if self.asking.len() >= CAPACITY {
            self.asking.clear();
        }
        asks.retain(|ask| {
            let name = match ask {
                Ask::Kv(key) => key.clone(),
                Ask::Account { org, since, keys, charged, ask, claim: None } if ask.wants.is_empty() => {
                    format!("{ACCOUNT} {org} {since} {keys:?} {charged:?} {:?}", ask.accounts)
                }
                // An own one each.
                Ask::Account { .. } => return true,
            };
            let asked = self.asking.get(&name).is_some_and(|since| now.since(*since) < ASKING_MS);
            if !asked {
                self.asking.insert(name, now);
            }
            !asked
        });
        asks
    }

    fn account_answered(&mut self) {
        self.asking.retain(|name, _| !name.starts_with(ACCOUNT));
    }

    /// What became of a claim; told once.
    pub fn take_claimed(&mut self, owner: &str) -> Option<Claimed> {
        self.claimed.remove(owner)
    }

    /// A question for slices.
    pub fn about_slices(&mut self, org: &str, wants: Vec<wire::Want>, now: Millis) -> Ask {
        let ask = self.holder.number(wants, now);
        self.about_meters(org, ask)
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
            asks.push(Ask::account(org, account.revision));
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
        self.asking.remove(key);
        self.kv_failed.remove(key);
        if let Some(hash) = key.strip_prefix("key:").and_then(KeyHash::parse) {
            let record = value.and_then(|text| self.read::<KeyRecord>(key, text)).filter(|record| record.hash == hash);
            if self.kv_keys.len() >= CAPACITY {
                self.kv_keys.clear();
            }
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
        self.asking.remove(key);
        if self.kv_failed.len() >= CAPACITY {
            self.kv_failed.clear();
        }
        self.kv_failed.insert(key.to_owned(), (now, why.to_owned()));
    }

    /// The account's answer to a question asked at `asked`.
    pub fn learn_account(&mut self, org: &str, reply: CommitReply, asked: Millis, now: Millis) {
        self.account_answered();
        let account = self.accounts.entry(org.to_owned()).or_default();
        account.failed = None;
        account.valid_from = Some(asked.max(account.valid_from.unwrap_or_default()));
        account.revision = account.revision.max(reply.revision);
        if let Some(changes) = reply.changes {
            for (what, revision) in changes {
                if let Some(hash) = KeyHash::parse(&what) {
                    // Answers overtake each other: an older one does not take back what a newer one has said.
                    let known = account.changed.entry(hash).or_default();
                    *known = revision.max(*known);
                } else if let Ok(changed) = what.parse() {
                    self.holder.changed(changed, revision);
                }
            }
        } else {
            account.floor = account.revision;
            account.changed.clear();
            self.keys.clear();
            self.kv_keys.clear();
            self.holder.forget_accounts(account.revision);
        }
        if self.claimed.len() >= CAPACITY {
            self.claimed.clear();
        }
        self.claimed.extend(reply.claims);
        if let Some(told) = reply.told {
            self.holder.learn(told, reply.revision, now);
        }
        for (hash, record) in reply.keys {
            self.keep_key(hash, record.map(Rc::new), now);
        }
    }

    /// The account did not answer.
    pub fn account_unavailable(&mut self, org: &str, why: &str, now: Millis) {
        self.account_answered();
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
            let known = self.as_the_environment_has_it(row);
            providers.insert(known.row.slug.clone(), Rc::new(known));
        }
        for stored in stored.map(|entry| entry.providers).unwrap_or_default() {
            let known = match &stored.credential {
                Some(sealed) => self.with_credential(stored.row, sealed),
                None => self.as_the_environment_has_it(stored.row),
            };
            providers.insert(known.row.slug.clone(), Rc::new(known));
        }
        providers
    }

    fn as_the_environment_has_it(&mut self, row: Provider) -> KnownProvider {
        let values = |name: &str| self.env.get(name).cloned();
        let row = environment::complete(row, &values);
        let access = environment::access(&row, &values);
        self.known(row, access)
    }

    fn with_credential(&mut self, row: Provider, sealed: &SealedCredential) -> KnownProvider {
        let row = environment::complete(row, &|name| self.env.get(name).cloned());
        let opened = match &self.master_key {
            Some(key) => key.open(sealed, &row.slug),
            None => Err("SLUICE_MASTER_KEY is not set".to_owned()),
        };
        let checked = opened.and_then(|credential| {
            row.check().and_then(|()| access::check(&credential, &row)).map_err(|error| error.message)?;
            let addressed = environment::is_addressed(&row, &|_| false);
            addressed.then(|| Access::of(&credential, row.dialect)).ok_or("the provider has no base_url".to_owned())
        });
        self.known(row, checked)
    }

    fn known(&mut self, mut row: Provider, access: std::result::Result<Access, String>) -> KnownProvider {
        let access = access.unwrap_or_else(|why| {
            self.problems.push(format!("the credential of provider {} cannot be used: {why}", row.slug));
            Access::None
        });
        if row.dialect == Dialect::Vertex && row.project.is_none() {
            row.project = access.project();
        }
        KnownProvider { row, access }
    }
}

fn builtin_model(id: &str) -> Option<Rc<KnownModel>> {
    builtin::model(id).map(|model| Rc::new(KnownModel { model, price_version: "builtin".to_owned() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{auth::VirtualKey, catalog::credential::Credential};

    const ORG: &str = crate::DEFAULT_ORG;
    const T: Millis = Millis(1_795_176_000_000);
    const BUILT_IN: &str = "openai/gpt-4o-mini";

    fn known() -> Known {
        Known::new(BTreeMap::new(), None)
    }

    fn hash() -> KeyHash {
        VirtualKey::generate(&[1; 48]).hash()
    }

    fn record(revision: u64) -> KeyRecord {
        KeyRecord { revision, name: format!("as of {revision}"), ..KeyRecord::root(hash()) }
    }

    /// The account's answer: its revision, what changed, and the asked key where it was asked.
    fn reply(revision: u64, changes: &[u64], records: &[Option<KeyRecord>]) -> CommitReply {
        CommitReply {
            revision,
            changes: Some(changes.iter().map(|at| (hash().to_string(), *at)).collect()),
            keys: records.iter().map(|record| (hash(), record.clone())).collect(),
            ..CommitReply::default()
        }
    }

    fn word(since: u64) -> Ask {
        Ask::account(ORG, since)
    }

    /// The same for a key that is new here: its meters are asked for too.
    fn word_for(hash: &KeyHash, since: u64, keys: Vec<KeyHash>) -> Ask {
        let charged = vec![hash.clone()];
        Ask::Account { org: ORG.to_owned(), since, keys, charged, ask: wire::Ask::default(), claim: None }
    }

    fn ask_key(since: u64) -> Ask {
        word_for(&hash(), since, vec![hash()])
    }

    fn kv() -> Ask {
        Ask::Kv(kv_key(&hash()))
    }

    fn learn_kv_key(known: &mut Known, record: Option<&KeyRecord>, now: Millis) {
        let text = record.map(|record| serde_json::to_string(record).unwrap());
        known.learn_kv(&kv_key(&hash()), text.as_deref(), now);
    }

    /// A gateway that knows the key, by KV, and has the account's word as of `T`.
    fn with_key() -> Known {
        let mut known = known();
        learn_kv_key(&mut known, Some(&record(1)), T);
        known.learn_account(ORG, reply(1, &[], &[]), T, T);
        assert_eq!(found(known.key(&hash(), T)), 1);
        known
    }

    fn found(lookup: Lookup<Rc<KeyRecord>>) -> u64 {
        match lookup {
            Lookup::Found(record) => record.revision,
            other => panic!("{other:?}"),
        }
    }

    fn asks<T: std::fmt::Debug>(lookup: Lookup<T>) -> Vec<Ask> {
        match lookup {
            Lookup::Ask(asks) => asks,
            other => panic!("{other:?}"),
        }
    }

    fn is_absent<T: std::fmt::Debug>(lookup: &Lookup<T>) -> bool {
        matches!(lookup, Lookup::Absent)
    }

    #[test]
    fn a_key_never_seen_is_asked_of_kv_and_the_account_at_once() {
        let mut known = known();
        assert_eq!(asks(known.key(&hash(), T)), [kv(), word_for(&hash(), 0, Vec::new())]);
        learn_kv_key(&mut known, Some(&record(1)), T);
        known.learn_account(ORG, reply(1, &[], &[]), T, T.plus(5));
        assert_eq!(found(known.key(&hash(), T.plus(5))), 1);
        // Another key is asked for its meters, though the account's word is fresh.
        let other = VirtualKey::generate(&[2; 48]).hash();
        let both = [Ask::Kv(kv_key(&other)), word_for(&other, 1, Vec::new())];
        assert_eq!(asks(known.key(&other, T.plus(10))), both);
    }

    #[test]
    fn a_key_is_valid_for_eight_seconds_after_the_account_was_asked() {
        let mut known = with_key();
        assert_eq!(found(known.key(&hash(), T.plus(VALID_MS - 1))), 1);
        assert_eq!(asks(known.key(&hash(), T.plus(VALID_MS))), [word(1)]);
        // It counts from the question, not from the answer, and an older answer takes nothing back.
        let asked = T.plus(VALID_MS);
        known.learn_account(ORG, reply(1, &[], &[]), asked, asked.plus(3_000));
        known.learn_account(ORG, reply(1, &[], &[]), asked.plus(-4_000), asked.plus(3_100));
        assert_eq!(found(known.key(&hash(), asked.plus(VALID_MS - 1))), 1);
        assert_eq!(asks(known.key(&hash(), asked.plus(VALID_MS))), [word(1)]);
    }

    #[test]
    fn the_accounts_word_is_refreshed_in_the_background_and_asked_once() {
        let mut known = with_key();
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_KEY_MS - 1)), []);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_KEY_MS)), [word(1)]);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_KEY_MS + 1_999)), []);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_KEY_MS + 2_000)), [word(1)], "no answer came");
        let answered = T.plus(REFRESH_KEY_MS + 2_100);
        known.learn_account(ORG, reply(2, &[], &[]), answered, answered);
        assert_eq!(known.refreshes(ORG, &[], answered.plus(REFRESH_KEY_MS - 1)), []);
        assert_eq!(known.refreshes(ORG, &[], answered.plus(REFRESH_KEY_MS)), [word(2)]);
        assert_eq!(known.refreshes("elsewhere", &[], answered.plus(REFRESH_KEY_MS)), [], "never heard of");
    }

    #[test]
    fn a_record_older_than_the_change_the_account_names_is_not_used() {
        // In memory.
        let mut known = with_key();
        known.learn_account(ORG, reply(5, &[5], &[]), T.plus(100), T.plus(100));
        assert_eq!(asks(known.key(&hash(), T.plus(100))), [kv(), word_for(&hash(), 5, Vec::new())]);
        // In KV, which may be behind: then the account itself is asked.
        learn_kv_key(&mut known, Some(&record(4)), T.plus(110));
        assert_eq!(asks(known.key(&hash(), T.plus(110))), [ask_key(5)]);
        known.learn_account(ORG, reply(5, &[], &[Some(record(5))]), T.plus(110), T.plus(120));
        assert_eq!(found(known.key(&hash(), T.plus(120))), 5);
        // KV that is not behind will do.
        known.learn_account(ORG, reply(7, &[7], &[]), T.plus(200), T.plus(200));
        learn_kv_key(&mut known, Some(&record(7)), T.plus(210));
        assert_eq!(found(known.key(&hash(), T.plus(210))), 7);
    }

    #[test]
    fn a_copy_from_kv_that_came_before_the_accounts_word_waits_for_it() {
        let mut known = known();
        assert_eq!(asks(known.key(&hash(), T)), [kv(), word_for(&hash(), 0, Vec::new())]);
        learn_kv_key(&mut known, Some(&record(4)), T);
        known.learn_account(ORG, reply(5, &[5], &[]), T, T);
        assert_eq!(asks(known.key(&hash(), T)), [ask_key(5)]);
    }

    #[test]
    fn a_revoked_key_stops_within_eight_seconds_of_the_accounts_last_word() {
        // Deleted: KV elsewhere still has it, for minutes.
        let mut known = with_key();
        assert_eq!(found(known.key(&hash(), T.plus(VALID_MS - 1))), 1, "nobody has said so yet");
        let now = T.plus(VALID_MS);
        assert_eq!(asks(known.key(&hash(), now)), [word(1)]);
        known.learn_account(ORG, reply(2, &[2], &[]), now, now);
        assert_eq!(asks(known.key(&hash(), now))[0], kv());
        learn_kv_key(&mut known, Some(&record(1)), now);
        assert_eq!(asks(known.key(&hash(), now)), [ask_key(2)]);
        known.learn_account(ORG, reply(2, &[], &[None]), now, now);
        assert!(is_absent(&known.key(&hash(), now)));
        // The word comes with any answer of the account's, sooner too.
        let mut known = with_key();
        known.learn_account(ORG, reply(2, &[2], &[None]), T.plus(50), T.plus(50));
        assert!(is_absent(&known.key(&hash(), T.plus(50))));
        // "Too many changes to say" is "all of them".
        let mut known = with_key();
        let any = CommitReply { revision: 9_000, changes: None, ..CommitReply::default() };
        known.learn_account(ORG, any, T.plus(50), T.plus(50));
        assert_eq!(asks(known.key(&hash(), T.plus(50)))[0], kv());
    }

    #[test]
    fn an_unknown_key_is_unknown_for_five_seconds() {
        let mut known = known();
        learn_kv_key(&mut known, None, T);
        known.learn_account(ORG, reply(0, &[], &[]), T, T);
        // KV does not know it, but a key may be younger than KV's copy: the account decides.
        assert_eq!(asks(known.key(&hash(), T)), [ask_key(0)]);
        known.learn_account(ORG, reply(0, &[], &[None]), T, T);
        assert!(is_absent(&known.key(&hash(), T)));
        assert!(is_absent(&known.key(&hash(), T.plus(UNKNOWN_KEY_MS - 1))));
        assert_eq!(asks(known.key(&hash(), T.plus(UNKNOWN_KEY_MS)))[0], kv());
        known.learn_account(ORG, reply(1, &[1], &[Some(record(1))]), T.plus(5_000), T.plus(5_000));
        assert_eq!(found(known.key(&hash(), T.plus(5_000))), 1, "made meanwhile");
    }

    #[test]
    fn without_the_account_no_key_is_good_for_longer_than_its_word() {
        let mut known = with_key();
        known.account_unavailable(ORG, "reset", T.plus(5_000));
        assert_eq!(found(known.key(&hash(), T.plus(5_000))), 1, "its last word still holds");
        let now = T.plus(VALID_MS);
        assert_eq!(asks(known.key(&hash(), now)), [word(1)]);
        known.account_unavailable(ORG, "reset", now);
        for later in [0, 999] {
            let lookup = known.key(&hash(), now.plus(later));
            assert!(matches!(&lookup, Lookup::Unavailable(why) if why == "reset"), "{lookup:?}");
        }
        assert_eq!(asks(known.key(&hash(), now.plus(1_000))), [word(1)], "asked again after a second");
        known.learn_account(ORG, reply(1, &[], &[]), now.plus(1_000), now.plus(1_000));
        assert_eq!(found(known.key(&hash(), now.plus(1_000))), 1);
    }

    #[test]
    fn without_kv_the_account_answers_for_keys() {
        let mut known = known();
        known.kv_unavailable(&kv_key(&hash()), "down", T);
        known.learn_account(ORG, reply(1, &[], &[]), T, T);
        assert_eq!(asks(known.key(&hash(), T)), [ask_key(1)]);
        known.learn_account(ORG, reply(1, &[], &[Some(record(1))]), T, T);
        assert_eq!(found(known.key(&hash(), T)), 1);
    }

    #[test]
    fn what_kv_holds_is_not_trusted_to_be_a_record() {
        let other = serde_json::to_string(&KeyRecord::root(VirtualKey::generate(&[2; 48]).hash())).unwrap();
        for (text, problems) in [("{\"v\":1", 1), ("null", 1), (other.as_str(), 0)] {
            let mut known = known();
            known.learn_account(ORG, reply(0, &[], &[]), T, T);
            known.learn_kv(&kv_key(&hash()), Some(text), T);
            assert_eq!(asks(known.key(&hash(), T)), [ask_key(0)], "{text}");
            assert_eq!(known.take_problems().len(), problems, "{text}");
            assert!(known.take_problems().is_empty());
        }
    }

    // --- Models

    fn entry(revision: u64, id: &str) -> String {
        let endpoint = json!({ "provider": "own", "upstream_model": "m" });
        json!({ "v": 1, "revision": revision, "model": { "id": id, "name": "ours", "endpoints": [endpoint] } })
            .to_string()
    }

    fn model(lookup: Lookup<Rc<KnownModel>>) -> (String, String) {
        match lookup {
            Lookup::Found(model) => (model.model.name.clone(), model.price_version.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn ours(revision: u64) -> (String, String) {
        ("ours".to_owned(), format!("catalog-{revision}"))
    }

    #[test]
    fn a_model_of_the_operators_goes_before_the_built_in_one_and_can_hide_it() {
        let (mut known, key) = (known(), model_key(BUILT_IN));
        assert_eq!(asks(known.model(BUILT_IN, T)), [Ask::Kv(key.clone())]);
        known.learn_kv(&key, None, T);
        let built_in = model(known.model(BUILT_IN, T));
        assert_eq!(built_in, (builtin::model(BUILT_IN).unwrap().name, "builtin".to_owned()));
        known.learn_kv(&key, Some(&entry(3, BUILT_IN)), T);
        assert_eq!(model(known.model(BUILT_IN, T)), ours(3));
        known.learn_kv(&key, Some(r#"{"v":1,"revision":4,"model":null}"#), T);
        assert!(is_absent(&known.model(BUILT_IN, T)));
        // What cannot be read is noted, and does not take the built-in one away.
        known.learn_kv(&key, Some("{"), T);
        assert_eq!(model(known.model(BUILT_IN, T)), built_in);
        assert_eq!(known.take_problems().len(), 1);
    }

    #[test]
    fn a_model_is_asked_again_behind_a_request_then_before_one() {
        let (mut known, key) = (known(), model_key("a/b"));
        known.learn_kv(&key, Some(&entry(1, "a/b")), T);
        let ids = ["a/b".to_owned()];
        assert_eq!(known.refreshes(ORG, &ids, T.plus(REFRESH_CATALOG_MS - 1)), []);
        assert_eq!(known.refreshes(ORG, &ids, T.plus(REFRESH_CATALOG_MS)), [Ask::Kv(key.clone())]);
        assert_eq!(known.refreshes(ORG, &ids, T.plus(REFRESH_CATALOG_MS + 4_999)), []);
        assert_eq!(known.refreshes(ORG, &ids, T.plus(REFRESH_CATALOG_MS + 5_000)), [Ask::Kv(key.clone())]);
        assert_eq!(model(known.model("a/b", T.plus(STALE_CATALOG_MS - 1))), ours(1));
        assert_eq!(asks(known.model("a/b", T.plus(STALE_CATALOG_MS))), [Ask::Kv(key.clone())]);
        // The store is down: the last good copy serves, however old.
        for hours in [1, 1_000] {
            let now = T.plus(hours * 3_600_000);
            known.kv_unavailable(&key, "down", now);
            assert_eq!(model(known.model("a/b", now.plus(999))), ours(1));
            assert_eq!(asks(known.model("a/b", now.plus(1_000))), [Ask::Kv(key.clone())]);
        }
        known.learn_kv(&key, Some(&entry(2, "a/b")), T);
        assert_eq!(model(known.model("a/b", T)), ours(2));
    }

    #[test]
    fn without_kv_built_in_models_are_there_and_unknown_ones_are_not_denied() {
        let mut known = known();
        for id in [BUILT_IN, "a/b"] {
            known.kv_unavailable(&model_key(id), "down", T);
        }
        assert_eq!(model(known.model(BUILT_IN, T)).1, "builtin");
        assert!(matches!(known.model("a/b", T), Lookup::Unavailable(why) if why == "down"));
    }

    #[test]
    fn an_unknown_model_is_unknown_for_five_seconds() {
        let mut known = known();
        known.learn_kv("model:a/b", None, T);
        assert!(is_absent(&known.model("a/b", T.plus(UNKNOWN_MODEL_MS - 1))));
        assert_eq!(asks(known.model("a/b", T.plus(UNKNOWN_MODEL_MS))).len(), 1);
    }

    // --- Providers

    fn master(byte: u8) -> MasterKey {
        use base64::Engine;
        MasterKey::parse(&base64::engine::general_purpose::STANDARD.encode([byte; 32])).unwrap()
    }

    fn sealed(credential: Credential, slug: &str) -> SealedCredential {
        master(1).seal(&credential, slug, [9; 12]).unwrap()
    }

    fn stored(slug: &str, credential: Option<SealedCredential>) -> String {
        let row = json!({ "slug": slug, "name": "Own", "dialect": "openai", "base_url": "https://own.example/v1" });
        json!({ "v": 1, "revision": 1, "providers": [{ "row": row, "credential": credential }] }).to_string()
    }

    fn providers(known: &mut Known, now: Millis) -> Rc<Providers> {
        match known.providers(now) {
            Lookup::Found(providers) => providers,
            other => panic!("{other:?}"),
        }
    }

    fn bearer(value: &str) -> Access {
        Access::Header("authorization".to_owned(), format!("Bearer {value}"))
    }

    #[test]
    fn a_built_in_provider_is_ready_when_the_environment_has_its_key() {
        let env = [("OPENAI_API_KEY", " sk-env \n"), ("GROQ_API_KEY", "  "), ("MISTRAL_API_KEY", "a\nb")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut known = Known::new(env, None);
        known.learn_kv(PROVIDERS_KEY, None, T);
        let providers = providers(&mut known, T);
        assert_eq!(providers["openai"].access, bearer("sk-env"));
        let ready: Vec<&str> = providers.values().filter(|p| p.is_ready()).map(|p| p.row.slug.as_str()).collect();
        assert_eq!(ready, ["openai"]);
        assert!(providers.len() > 10);
    }

    #[test]
    fn built_in_rows_of_clouds_and_of_ones_own_box_are_completed_by_the_environment() {
        use crate::provider::access::tests::SERVICE_ACCOUNT;
        let env = [
            ("GOOGLE_SERVICE_ACCOUNT_JSON", SERVICE_ACCOUNT),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", "canary"),
            ("AWS_REGION", "eu-west-1"),
            ("OLLAMA_BASE_URL", "http://127.0.0.1:1"),
            ("VLLM_BASE_URL", "localhost"),
            ("AZURE_OPENAI_API_KEY", "canary"),
        ];
        let mut known =
            Known::new(env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), Some(master(1)));
        let credential = sealed(Credential::Bearer { value: "canary".to_owned() }, "azure");
        let row = builtin::providers().into_iter().find(|row| row.slug == "azure").unwrap();
        let azure = json!({ "v": 1, "revision": 1, "providers": [{ "row": row, "credential": credential }] });
        known.learn_kv(PROVIDERS_KEY, Some(&azure.to_string()), T);
        let providers = providers(&mut known, T);
        let ready: Vec<&str> = providers.values().filter(|p| p.is_ready()).map(|p| p.row.slug.as_str()).collect();
        assert_eq!(ready, ["bedrock", "ollama", "vertex"]);
        let row = |slug: &str| &providers[slug].row;
        assert_eq!((row("vertex").project.as_deref(), row("vertex").region.as_deref()), (Some("p-1"), Some("global")));
        assert_eq!(row("bedrock").region.as_deref(), Some("eu-west-1"));
        assert_eq!(
            (row("ollama").base_url.as_str(), &providers["ollama"].access),
            ("http://127.0.0.1:1", &Access::Open)
        );
        // What is there but cannot be used is told, without it.
        let problems = known.take_problems().join("\n");
        assert!(problems.contains("azure cannot be used: the provider has no base_url"), "{problems}");
        assert!(problems.contains("vllm cannot be used: base_url"), "{problems}");
        assert!(!problems.contains("canary"), "{problems}");
    }

    #[test]
    fn a_sealed_credential_opens_with_its_master_key_alone_and_trouble_is_told_without_it() {
        const SECRET: &str = "sk-canary-credential";
        let own = sealed(Credential::Bearer { value: SECRET.to_owned() }, "own");
        let mut damaged = json!(own);
        damaged["data"] = "AAAA".into();
        let damaged: SealedCredential = serde_json::from_value(damaged).unwrap();
        let elsewhere = sealed(Credential::Bearer { value: SECRET.to_owned() }, "other");
        for (master_key, credential, access, trouble) in [
            (Some(1), &own, bearer(SECRET), None),
            (Some(2), &own, Access::None, Some("sealed under")),
            (None, &own, Access::None, Some("SLUICE_MASTER_KEY is not set")),
            (Some(1), &damaged, Access::None, Some("does not open")),
            (Some(1), &elsewhere, Access::None, Some("does not open")),
        ] {
            let mut known = Known::new(BTreeMap::new(), master_key.map(master));
            known.learn_kv(PROVIDERS_KEY, Some(&stored("own", Some(credential.clone()))), T);
            assert_eq!(providers(&mut known, T)["own"].access, access, "{trouble:?}");
            let problems = known.take_problems().join("\n");
            assert!(!problems.contains(SECRET), "{problems}");
            match trouble {
                Some(words) => assert!(problems.contains(words) && problems.contains("provider own"), "{problems}"),
                None => assert_eq!(problems, ""),
            }
        }
    }

    #[test]
    fn the_operators_row_goes_before_the_built_in_one() {
        let env = BTreeMap::from([("OPENAI_API_KEY".to_owned(), "sk-env".to_owned())]);
        let access = |text: &str| {
            let mut known = Known::new(env.clone(), Some(master(1)));
            known.learn_kv(PROVIDERS_KEY, Some(text), T);
            let openai = Rc::clone(&providers(&mut known, T)["openai"]);
            (openai.row.name.clone(), openai.access.clone())
        };
        let credential = sealed(Credential::Header { name: "X-Key".to_owned(), value: "v".to_owned() }, "openai");
        let header = Access::Header("x-key".to_owned(), "v".to_owned());
        assert_eq!(access(&stored("openai", Some(credential))), ("Own".to_owned(), header));
        assert_eq!(access(&stored("openai", Some(sealed(Credential::None {}, "openai")))).1, Access::Open);
        // The row names no variable, so the environment's key is not for it.
        assert_eq!(access(&stored("openai", None)), ("Own".to_owned(), Access::None));
        assert_eq!(access(&stored("own", None)), ("OpenAI".to_owned(), bearer("sk-env")));
    }

    #[test]
    fn providers_are_asked_again_behind_a_request_then_before_one_and_last_while_kv_is_down() {
        let (mut known, ask) = (known(), [Ask::Kv(PROVIDERS_KEY.to_owned())]);
        assert_eq!(asks(known.providers(T)), ask);
        known.kv_unavailable(PROVIDERS_KEY, "down", T);
        assert!(matches!(known.providers(T.plus(999)), Lookup::Unavailable(why) if why == "down"));
        assert_eq!(asks(known.providers(T.plus(1_000))), ask);
        known.learn_kv(PROVIDERS_KEY, Some(&stored("own", None)), T);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_CATALOG_MS - 1)), []);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_CATALOG_MS)), ask);
        assert_eq!(known.refreshes(ORG, &[], T.plus(REFRESH_CATALOG_MS)), []);
        assert!(providers(&mut known, T.plus(STALE_CATALOG_MS - 1)).contains_key("own"));
        assert_eq!(asks(known.providers(T.plus(STALE_CATALOG_MS))), ask);
        let later = T.plus(100 * STALE_CATALOG_MS);
        known.kv_unavailable(PROVIDERS_KEY, "down", later);
        assert!(providers(&mut known, later).contains_key("own"));
    }

    // --- Memory

    #[test]
    fn memory_is_bounded_and_what_was_dropped_is_asked_again() {
        let mut known = with_key();
        for n in 0..CAPACITY {
            known.learn_kv(&format!("model:a/{n}"), None, T);
            known.kv_unavailable(&format!("model:b/{n}"), "down", T);
            let hash = KeyHash::parse(&format!("{n:064x}")).unwrap();
            known.learn_account(
                ORG,
                CommitReply { changes: Some(Vec::new()), keys: [(hash, None)].into(), ..reply(1, &[], &[]) },
                T,
                T,
            );
        }
        assert_eq!(known.models.len(), CAPACITY);
        known.learn_kv("model:a/b", Some(&entry(1, "a/b")), T);
        known.kv_unavailable("model:b/b", "down", T);
        assert_eq!((known.models.len(), known.kv_failed.len(), known.keys.len()), (1, 1, 1));
        assert_eq!(asks(known.model("a/0", T)).len(), 1);
        assert_eq!(asks(known.key(&hash(), T))[0], kv());
        // What comes next is kept as ever.
        learn_kv_key(&mut known, Some(&record(1)), T);
        assert_eq!((found(known.key(&hash(), T)), model(known.model("a/b", T))), (1, ours(1)));
    }

    #[test]
    fn what_was_changed_through_this_isolate_is_forgotten() {
        let mut known = with_key();
        known.learn_kv("model:a/b", Some(&entry(1, "a/b")), T);
        known.learn_kv(PROVIDERS_KEY, None, T);
        assert_eq!(known.revision(ORG), 1);
        known.forget();
        assert_eq!(known.revision(ORG), 0);
        assert_eq!(asks(known.key(&hash(), T)), [kv(), word_for(&hash(), 0, Vec::new())]);
        assert_eq!((asks(known.model("a/b", T)).len(), asks(known.providers(T)).len()), (1, 1));
    }
}
