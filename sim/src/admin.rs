//! The operator: limits, stops, keys and prices change while requests run.

use serde_json::Value;
use sluice::{
    budget::{AccountKind, AccountRef, Period, Terms, Unit, book},
    ports::{Sql, int, text},
    time::Millis,
};

use crate::{
    oracle::{Held, broken},
    terms::{self, MODELS},
    world::{What, World},
};

impl World {
    pub fn accounts(&self) -> Vec<(String, String)> {
        self.keys.iter().map(|key| (key.hash.clone(), key.workspace.clone())).collect()
    }

    /// A new limit, or other terms of one.
    pub fn define_some(&mut self) {
        let accounts = self.accounts();
        let account = terms::account(&mut self.draw, &accounts);
        let now = self.object_now();
        let terms = terms::draw(&mut self.draw, account, self.style, now);
        self.define(&terms);
    }

    /// Few requests at the same time, for all keys together.
    pub fn define_places(&mut self) {
        let (account, limit) = (AccountRef::new(AccountKind::Organization, "default"), self.draw.range(1, 3));
        self.define(&Terms::rate(account, "max_parallel", Unit::Parallel, Period::Lifetime, limit));
    }

    fn define(&mut self, terms: &Terms) {
        self.latest = Some(terms.account.clone());
        let id = book::define(&self.object.sql, terms).expect("a limit is defined");
        self.note_change(&terms.account.to_string());
        self.reload_meters();
        self.touched(id.0);
        self.note(|| format!("admin: {} is {terms:?}", id.0));
    }

    /// A meter's terms were changed, and those of the meters that follow it.
    fn touched(&mut self, id: u32) {
        let Some(terms) = self.oracle.meters.get(&id).cloned() else { return };
        let same = |other: &Terms| other.name == terms.name && other.account.kind == terms.account.kind;
        let ids: Vec<u32> = self.oracle.meters.iter().filter(|(_, other)| same(other)).map(|(id, _)| *id).collect();
        for id in ids {
            self.changed.insert(id, self.now);
        }
    }

    /// What meters there are.
    pub fn reload_meters(&mut self) {
        let rows = self.object.sql.run("SELECT id, doc FROM meters", &[]).unwrap_or_default();
        let meters: Vec<(u32, Terms)> = rows
            .iter()
            .filter_map(|row| Some((int(row, "id") as u32, serde_json::from_str(text(row, "doc")).ok()?)))
            .collect();
        self.oracle.meters.clear();
        for (id, terms) in meters {
            if terms.fail_open {
                self.oracle.unbounded.insert(id);
            }
            self.changed.entry(id).or_insert(self.now);
            self.oracle.meters.insert(id, terms);
        }
    }

    /// Raises the account's revision and says what was changed.
    pub fn note_change(&mut self, what: &str) -> u64 {
        let sql = &self.object.sql;
        let _ = sql.run("UPDATE key_revision SET revision = revision + 1", &[]);
        let revision = sql.number("SELECT revision FROM key_revision", &[]);
        let now = self.now + self.object.ahead;
        let _ = sql.run("INSERT INTO key_changes VALUES (?1, ?2, ?3)", &[revision.into(), what.into(), now.into()]);
        revision as u64
    }

    /// Changes members of a key's record.
    pub fn change_key(&mut self, n: usize, members: &[(&str, Value)]) {
        let hash = self.keys[n].hash.clone();
        let revision = self.note_change(&hash);
        let rows =
            self.object.sql.run("SELECT doc FROM keys WHERE hash = ?1", &[hash.as_str().into()]).unwrap_or_default();
        let mut doc: Value =
            serde_json::from_str(rows.first().map_or("", |row| text(row, "doc"))).expect("a key's document");
        doc["record"]["revision"] = revision.into();
        for (name, value) in members {
            doc["record"][name] = value.clone();
        }
        let _ = self
            .object
            .sql
            .run("UPDATE keys SET doc = ?2 WHERE hash = ?1", &[hash.as_str().into(), doc.to_string().into()]);
        let after = if self.kv.is_empty() { 0 } else { self.draw.wide(1, self.faults.kv_late.max(1)) };
        self.at(after, What::KvSet { key: format!("key:{hash}"), value: doc["record"].to_string() });
    }

    /// One change.
    pub fn admin(&mut self) -> Held {
        if self.healing {
            return Ok(());
        }
        let next = if self.draw.chance(0.3) {
            self.draw.wide(1, 1_000)
        } else {
            self.draw.range(1, 2 * self.faults.admin_every)
        };
        self.at(next, What::Admin);
        if self.now < self.object.up_at {
            return Ok(());
        }
        let accounts = self.accounts();
        let any = |world: &mut Self| {
            let mut ids: Vec<u32> = world.oracle.meters.keys().copied().collect();
            ids.sort_unstable();
            if ids.is_empty() { None } else { world.oracle.meters.get(world.draw.pick(&ids)).cloned() }
        };
        if let Some(account) = self.latest.take().filter(|account| !account.is_default())
            && self.draw.chance(0.3)
        {
            // Whom it was given to a moment ago: answers of before may be under way.
            return self.stop(&account, true);
        }
        match self.draw.range(0, 13) {
            0 => {
                self.cover("admin", "defines a limit");
                self.define_some();
            }
            1..=4 => {
                let Some(mut terms) = any(self) else { return Ok(()) };
                match self.draw.range(0, 4) {
                    0 => {
                        self.cover("admin", "lowers a limit");
                        terms.limit /= 2;
                    }
                    1 => {
                        self.cover("admin", "raises a limit");
                        terms.limit = (terms.limit * 2).min(1 << 50);
                    }
                    2 => {
                        self.cover("admin", "hard or soft");
                        terms.hard = !terms.hard;
                    }
                    3 => {
                        self.cover("admin", "exact or not");
                        terms.exact = !terms.exact;
                    }
                    _ => {
                        self.cover("admin", "another limit");
                        terms.limit = terms::limit(&mut self.draw, terms.unit, self.style);
                    }
                }
                self.define(&terms);
            }
            5 => {
                let Some(terms) = any(self) else { return Ok(()) };
                self.cover("admin", "removes a limit");
                book::remove(&self.object.sql, &terms.account, &terms.name)
                    .map_err(|error| broken("account", format!("{error:?}")))?;
                self.note_change(&terms.account.to_string());
                self.removed.insert((terms.account.to_string(), terms.name.clone()), self.now);
                self.reload_meters();
            }
            6..=7 => {
                let account = terms::account(&mut self.draw, &accounts);
                if !account.is_default() {
                    self.stop(&account, true)?;
                }
            }
            8..=10 => {
                let stopped: Vec<String> = self.stops.keys().cloned().collect();
                if !stopped.is_empty() {
                    let account = self.draw.pick(&stopped).parse().expect("an account");
                    self.stop(&account, false)?;
                }
                for n in 0..self.keys.len() {
                    if self.keys[n].disabled_at.take().is_some() {
                        self.change_key(n, &[("disabled", false.into())]);
                    }
                }
            }
            11 => {
                self.cover("admin", "disables a key");
                let n = self.draw.range(0, self.keys.len() as i64 - 1) as usize;
                self.change_key(n, &[("disabled", true.into())]);
                self.keys[n].disabled_at.get_or_insert(self.now);
            }
            12 => {
                self.cover("admin", "moves a key");
                let n = self.draw.range(0, self.keys.len() as i64 - 1) as usize;
                let workspace = format!("w{}", self.draw.range(0, 2));
                self.change_key(n, &[("workspace_id", workspace.clone().into())]);
                self.keys[n].workspace = workspace;
                self.keys[n].moved_at = self.now;
            }
            _ => {
                self.cover("admin", "changes a price");
                let model = self.draw.range(0, MODELS.len() as i64 - 1) as usize;
                let revision = self.prices.keys().map(|(revision, _)| *revision).max().unwrap_or(1) + 1;
                self.price(model, revision);
            }
        }
        Ok(())
    }

    fn stop(&mut self, account: &AccountRef, stopped: bool) -> Held {
        self.cover("admin", if stopped { "stops an account" } else { "lets it go on" });
        let now: Millis = self.object_now();
        book::stop(&self.object.sql, account, stopped, now).map_err(|error| broken("account", format!("{error:?}")))?;
        self.note_change(&account.to_string());
        if stopped {
            self.stops.entry(account.to_string()).or_insert(self.now);
        } else {
            self.stops.remove(&account.to_string());
            self.freed.insert(account.to_string(), self.now);
        }
        Ok(())
    }
}
