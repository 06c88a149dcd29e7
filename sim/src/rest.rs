//! The end of a world: faults stop, nobody comes any more, and what is left has to come to rest. Then
//! everything adds up, nothing is held for nobody, and whoever has budget left is served.

use sluice::{
    account::key_usage,
    budget::{Unit, book},
    ports::{Sql, int, text},
};

use crate::{
    faults::Faults,
    oracle::{Held, broken},
    terms::MODELS,
    world::World,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

impl World {
    pub fn rest(&mut self) -> Held {
        self.healing = true;
        self.faults = Faults::default();
        for isolate in &mut self.isolates {
            isolate.cut = (false, false);
        }
        self.object.up_at = 0;
        self.pass(20_000)?;
        // A flush that was killed is taken over by the next request (later where the clock was set
        // back); an alarm that is missing, by the next command.
        for _ in 0..2 {
            for n in 0..self.isolates.len() {
                self.commit(n);
            }
            self.pass(40_000)?;
        }
        self.object.armed = 0;
        self.wake_at(self.object_now().0 + 1_000);
        self.pass(15 * MINUTE)?;
        self.check_tables()?;
        self.nothing_is_left()?;
        self.records_add_up()?;
        self.served()?;
        // Two days later the account has forgotten the dead, in the same windows.
        self.pass(3 * DAY)?;
        self.served()?;
        self.pass(MINUTE)?;
        self.check_tables()?;
        self.pass(33 * DAY)?;
        self.served()?;
        self.pass(15 * MINUTE)?;
        self.check_tables()?;
        self.nothing_is_left()?;
        self.records_add_up()
    }

    /// Time passes.
    fn pass(&mut self, ms: i64) -> Held {
        let until = self.now + ms;
        let most = self.steps + 400_000;
        while self.step(until)? {
            if self.steps > most {
                return Err(broken("L1 rest", "it does not come to rest"));
            }
        }
        self.now = until;
        Ok(())
    }

    /// L1, L2: nobody holds anything for nothing.
    fn nothing_is_left(&mut self) -> Held {
        for (n, isolate) in self.isolates.iter().enumerate().filter(|(_, isolate)| isolate.up) {
            if isolate.gateway.in_flight() > 0 || !isolate.requests.is_empty() {
                let left: Vec<&u64> = isolate.requests.keys().collect();
                return Err(broken(
                    "L5 answers",
                    format!("isolate {n} still serves {} requests: {left:?}", isolate.gateway.in_flight()),
                ));
            }
            let held = self.object.sql.run(
                "SELECT h.* FROM holdings h JOIN meters m ON m.id = h.meter AND m.win = h.win
                 WHERE h.session = ?1 AND h.granted - h.used - h.returned > 0",
                &[isolate.session.as_str().into()],
            );
            if let Some(row) = held.unwrap_or_default().first() {
                return Err(broken("L2 phantom", format!("isolate {n} serves nobody and holds {row:?}")));
            }
        }
        let places = "SELECT count(*) FROM holdings h JOIN meters m ON m.id = h.meter AND m.win = h.win
            WHERE m.doc LIKE '%\"unit\":\"parallel\"%' AND h.granted - h.used - h.returned > 0";
        if self.object.sql.number(places, &[]) > 0 {
            return Err(broken("L2 phantom", "places of requests are held by the dead"));
        }
        for isolate in self.isolates.iter().filter(|isolate| isolate.up) {
            let mut left =
                self.oracle.made.keys().filter(|made| made.0 == isolate.session && !self.oracle.taken.contains(*made));
            if let Some((session, seq)) = left.next() {
                return Err(broken("I6 rows", format!("batch {seq} of {session} was never taken")));
            }
        }
        for (what, statement) in
            [("outbox", "SELECT count(*) FROM outbox"), ("open", "SELECT count(*) FROM open_generations")]
        {
            let left = self.object.sql.number(statement, &[]);
            if left > 0 {
                return Err(broken("L1 rest", format!("{left} rows in {what}")));
            }
        }
        if !self.queue.is_empty() {
            return Err(broken("L1 rest", "messages in the queue"));
        }
        if !self.oracle.ended.is_empty() && self.isolates.iter().all(|isolate| isolate.up && isolate.life == 1) {
            return Err(broken("I6 rows", "requests ended that are in no batch"));
        }
        Ok(())
    }

    /// I6: one row a generation, and all sums are the same.
    fn records_add_up(&mut self) -> Held {
        let rows =
            self.d1.run("SELECT id, key_hash, event ->> '$.cost_nano' AS cost FROM events", &[]).unwrap_or_default();
        let mut found = std::collections::BTreeMap::new();
        for row in &rows {
            found.insert(text(row, "id").to_owned(), (text(row, "key_hash").to_owned(), int(row, "cost")));
        }
        for (id, (key, cost)) in &self.oracle.recorded {
            match (found.remove(id), cost) {
                (None, _) => return Err(broken("I6 rows", format!("{id} has no row"))),
                (Some(row), Some(cost)) if row != (key.clone(), *cost) => {
                    return Err(broken("I6 rows", format!("{id} is {row:?}, not {key} {cost}")));
                }
                _ => {}
            }
        }
        if let Some(row) = found.first_key_value() {
            return Err(broken("I6 rows", format!("a row of nobody: {row:?}")));
        }
        let rows = self
            .d1
            .run("SELECT key_hash, sum(cost_nano) AS cost, sum(requests) AS n FROM rollup_daily GROUP BY 1", &[])
            .unwrap_or_default();
        let all: i64 = rows.iter().map(|row| int(row, "n")).sum();
        if all != self.oracle.recorded.len() as i64 {
            return Err(broken("I6 sums", format!("{all} requests summed up of {}", self.oracle.recorded.len())));
        }
        for (key, (cost, requests)) in &self.oracle.by_key {
            let summed = rows.iter().find(|row| text(row, "key_hash") == key).map_or(0, |row| int(row, "cost"));
            let used = key_usage::used(&self.object.sql, key, self.object_now())
                .map_err(|error| broken("account", format!("{error:?}")))?;
            if summed != *cost || used.own.total.0 != *cost || used.requests != *requests {
                let how = format!(
                    "{key}: {cost} in {requests} batched, {summed} summed up, {} in {} used",
                    used.own.total.0, used.requests
                );
                return Err(broken("I6 sums", how));
            }
        }
        Ok(())
    }

    /// L2 to L4: whoever has enough left is served.
    fn served(&mut self) -> Held {
        for key in 0..self.keys.len().min(3) {
            if self.keys[key].disabled_at.is_some() {
                continue;
            }
            let model = key % MODELS.len();
            let body = format!(
                "{{\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"z\"}}],\"max_tokens\":1}}",
                MODELS[model]
            );
            let accounts = [
                "organization:default".to_owned(),
                format!("workspace:{}", self.keys[key].workspace),
                format!("key:{}", self.keys[key].hash),
            ];
            if accounts.iter().any(|account| self.stops.contains_key(account)) {
                continue;
            }
            let (prompt, completion) = self
                .prices
                .iter()
                .filter(|((_, of), _)| *of == model)
                .fold((0, 0), |most, (_, price)| (most.0.max(price.0), most.1.max(price.1)));
            let tokens = 4 * body.len() as i64 + 20;
            let mut enough = true;
            let mut stands = Vec::new();
            for account in &accounts {
                let account = account.parse().map_err(|error| broken("account", error))?;
                for meter in book::of_account(&self.object.sql, &account, self.object_now())
                    .map_err(|error| broken("account", format!("{error:?}")))?
                {
                    if !meter.terms.hard || meter.terms.model.as_ref().is_some_and(|only| only != MODELS[model]) {
                        continue;
                    }
                    let need = match meter.terms.unit {
                        Unit::Usd => tokens * prompt + 2 * completion,
                        Unit::Tokens => tokens + 2,
                        Unit::Requests | Unit::Parallel => 1,
                    };
                    enough &= meter.free(self.object_now()) >= need;
                    stands.push((meter.id.0, meter.terms.unit, meter.free(self.object_now()), need));
                }
            }
            if !enough {
                continue;
            }
            self.cover("probe", "has enough");
            let n = self.draw.range(0, self.isolates.len() as i64 - 1) as usize;
            self.probe = None;
            self.come_to(n, key, body.into(), true)?;
            self.pass(4 * MINUTE)?;
            match self.probe.take().and_then(|probe| probe.answered) {
                Some((402 | 429 | 503, body)) => {
                    return Err(broken("L4 starved", format!("{stands:?} is enough, but {body}")));
                }
                Some(_) => {}
                None => return Err(broken("L5 answers", "a probe without an answer")),
            }
        }
        Ok(())
    }
}
