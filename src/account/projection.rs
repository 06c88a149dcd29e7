//! The outbox towards KV: an object's own SQLite is the truth, KV carries copies of it.
//!
//! A change enqueues its copies in the same synchronous run of SQL as the change itself, so no crash
//! can part them. One row a key: only the newest copy matters. The shell writes them out, one drain of
//! an object at a time (two could overtake each other), and removes what it wrote unless it has
//! changed meanwhile; what fails stays for the alarm.

use crate::ports::{KvWrite, Param, Sql, SqlError, int, text};

/// Creates the table.
pub fn migrate(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS kv_outbox (key TEXT PRIMARY KEY, value TEXT)", &[])?;
    Ok(())
}

/// Notes a copy to be written; it replaces an older one of the same key.
pub fn enqueue(sql: &dyn Sql, write: KvWrite) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO kv_outbox (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        &[write.key.into(), write.value.into()],
    )?;
    Ok(())
}

/// Copies that wait, at most `limit`.
pub fn pending(sql: &dyn Sql, limit: u32) -> Result<Vec<KvWrite>, SqlError> {
    let rows = sql.run("SELECT key, value FROM kv_outbox ORDER BY rowid LIMIT ?1", &[i64::from(limit).into()])?;
    Ok(rows
        .iter()
        .map(|row| KvWrite {
            key: text(row, "key").to_owned(),
            value: row.get("value").and_then(serde_json::Value::as_str).map(str::to_owned),
        })
        .collect())
}

/// How many wait.
pub fn waiting(sql: &dyn Sql) -> Result<i64, SqlError> {
    Ok(sql.run("SELECT count(*) AS n FROM kv_outbox", &[])?.first().map_or(0, |row| int(row, "n")))
}

/// Removes a copy that has been written, unless another one of the same key has come since.
pub fn done(sql: &dyn Sql, written: &KvWrite) -> Result<(), SqlError> {
    let value: Param = written.value.clone().into();
    sql.run("DELETE FROM kv_outbox WHERE key = ?1 AND value IS ?2", &[written.key.as_str().into(), value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    #[test]
    fn the_newest_copy_of_a_key_waits_until_it_is_written() {
        let sql = Memory::new();
        migrate(&sql).unwrap();
        let write = |value: Option<&str>| KvWrite { key: "k".to_owned(), value: value.map(str::to_owned) };
        enqueue(&sql, write(Some("old"))).unwrap();
        enqueue(&sql, write(Some("new"))).unwrap();
        assert_eq!(pending(&sql, 10).unwrap(), [write(Some("new"))]);
        done(&sql, &write(Some("old"))).unwrap();
        assert_eq!(waiting(&sql).unwrap(), 1);
        enqueue(&sql, write(None)).unwrap();
        done(&sql, &write(Some("new"))).unwrap();
        assert_eq!(pending(&sql, 10).unwrap(), [write(None)]);
        done(&sql, &write(None)).unwrap();
        assert_eq!(waiting(&sql).unwrap(), 0);
    }
}
