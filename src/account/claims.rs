//! Requests that are to be answered once: who claimed an idempotency key, and what was answered.
//!
//! Table `claims`: a key, the body it came with, who serves it, and the sealed answer until it is
//! forgotten. A claim whose isolate has died without a word is free again: what it was serving is
//! recorded as lost.

use serde_json::Value;

use crate::{
    error::{Error, Result},
    idempotency::{Claim, Claimed, Finished, Kept},
    ports::{Sql, SqlError, text},
    time::Millis,
};

/// Creates the table.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS claims (
            id TEXT PRIMARY KEY, body TEXT NOT NULL, owner TEXT NOT NULL, session TEXT NOT NULL, until INTEGER NOT NULL, kept TEXT
        ) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS claims_until ON claims (until)",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Claims a key for a session's request. `dead`: the moment before which a session was last heard of.
pub fn claim(sql: &dyn Sql, session: &str, claim: &Claim, dead: Millis, now: Millis) -> Result<Claimed> {
    let rows = sql.run(
        "SELECT body, owner, kept, NOT EXISTS (SELECT 1 FROM sessions s WHERE s.session = c.session AND s.seen >= ?2) AS dead
         FROM claims c WHERE id = ?1 AND until > ?3",
        &[claim.id.as_str().into(), dead.0.into(), now.0.into()],
    )?;
    if let Some(row) = rows.first() {
        let kept = row.get("kept").and_then(Value::as_str);
        let orphaned = kept.is_none() && row.get("dead").and_then(Value::as_i64) == Some(1);
        if !orphaned {
            return Ok(match kept {
                _ if text(row, "body") != claim.body => Claimed::Conflict,
                Some(kept) => Claimed::Done(read(kept)?),
                None if text(row, "owner") == claim.owner => Claimed::New,
                None => Claimed::Running,
            });
        }
    }
    sql.run(
        "INSERT OR REPLACE INTO claims VALUES (?1, ?2, ?3, ?4, ?5, NULL)",
        &[
            claim.id.as_str().into(),
            claim.body.as_str().into(),
            claim.owner.as_str().into(),
            session.into(),
            now.plus(claim.keep_ms).0.into(),
        ],
    )?;
    Ok(Claimed::New)
}

/// Keeps a claim's answer, or frees it.
pub fn finish(sql: &dyn Sql, finished: &Finished) -> Result<()> {
    let mut params = vec![finished.id.as_str().into(), finished.owner.as_str().into()];
    match &finished.kept {
        Some(kept) => {
            let kept = serde_json::to_string(kept).map_err(|error| Error::internal(error.to_string()))?;
            params.push(kept.into());
            sql.run("UPDATE claims SET kept = ?3 WHERE id = ?1 AND owner = ?2", &params)?;
        }
        None => {
            sql.run("DELETE FROM claims WHERE id = ?1 AND owner = ?2 AND kept IS NULL", &params)?;
        }
    }
    Ok(())
}

/// Forgets claims whose time is over.
pub fn forget(sql: &dyn Sql, now: Millis) -> Result<(), SqlError> {
    sql.run("DELETE FROM claims WHERE until <= ?1", &[now.0.into()])?;
    Ok(())
}

fn read(kept: &str) -> Result<Kept> {
    serde_json::from_str(kept).map_err(|error| Error::internal(format!("a kept answer: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    const NOON: Millis = Millis(1_795_176_000_000);

    fn wanted(owner: &str, body: &str) -> Claim {
        Claim { id: "id".to_owned(), body: body.to_owned(), owner: owner.to_owned(), keep_ms: 1_000 }
    }

    #[test]
    fn a_key_is_claimed_once_answered_the_same_and_forgotten() {
        let sql = Memory::new();
        migrate(&sql).unwrap();
        sql.script("CREATE TABLE sessions (session TEXT PRIMARY KEY, seen INTEGER)");
        sql.script(&format!("INSERT INTO sessions VALUES ('s', {})", NOON.0));
        let ask = |owner, body, now: Millis| claim(&sql, "s", &wanted(owner, body), now.plus(-500), now).unwrap();
        assert_eq!(ask("a", "x", NOON), Claimed::New);
        assert_eq!(ask("a", "x", NOON), Claimed::New, "the same request asks again");
        assert_eq!(ask("b", "x", NOON), Claimed::Running);
        assert_eq!(ask("b", "y", NOON), Claimed::Conflict);
        // Its isolate is dead: another one takes over.
        assert_eq!(ask("b", "x", NOON.plus(600)), Claimed::New);
        let kept = Kept { generation: "gen-1".to_owned(), stream: false, sealed: Some("...".to_owned()) };
        let end = |owner: &str, kept| finish(&sql, &Finished { id: "id".to_owned(), owner: owner.to_owned(), kept });
        end("a", None).unwrap();
        assert_eq!(ask("c", "x", NOON.plus(400)), Claimed::Running, "who lost it cannot free it");
        end("b", Some(kept.clone())).unwrap();
        end("b", None).unwrap();
        assert_eq!(ask("c", "x", NOON.plus(1_500)), Claimed::Done(kept));
        assert_eq!(ask("c", "y", NOON.plus(1_500)), Claimed::Conflict);
        assert_eq!(ask("c", "y", NOON.plus(1_600)), Claimed::New);
        forget(&sql, NOON.plus(9_000)).unwrap();
        assert_eq!(ask("d", "z", NOON.plus(1_600)), Claimed::New);
    }
}
