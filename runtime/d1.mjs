// The D1 binding's protocol over SQLite.
//
//   POST /query?resultsFormat=ROWS_AND_COLUMNS | ARRAY_OF_OBJECTS | NONE     (also /execute)
//   body {sql, params} or an array of them; the answer has one result for each, or, for a failure,
//   {success: false, error} with status 200, which the binding throws as D1_ERROR.
//
// A request is one transaction: all of its statements or none. Blobs travel as arrays of bytes.
//
// Migrations (binding MIGRATIONS: {database: [{name, sql}]}, in order) are applied before the first
// query, each once and atomically, and recorded in wrangler's table d1_migrations. If one fails, every
// query fails with its name and reason.
import { DurableObject } from "cloudflare:workers";

const MIGRATION_TABLE = `
CREATE TABLE IF NOT EXISTS d1_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
);`;

// Comments and white space alone are no statement; SQLite would take them for one.
const EMPTY = /^(\s|;|--[^\n]*(\n|$)|\/\*[\s\S]*?\*\/)*$/;

export class D1Store extends DurableObject {
  #storage;
  #sql;
  #broken = null;
  #totals;

  constructor(ctx, env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    this.#sql = ctx.storage.sql;
    const database = Object.keys(env.MIGRATIONS).find((name) => env.STORE_D1.idFromName(name).equals(ctx.id));
    this.#migrate(env.MIGRATIONS[database] ?? []);
    this.#totals = this.#readTotals();
  }

  #migrate(migrations) {
    this.#sql.exec(MIGRATION_TABLE);
    const applied = new Set(this.#sql.exec("SELECT name FROM d1_migrations").toArray().map((row) => row.name));
    for (const { name, sql } of migrations) {
      if (applied.has(name)) continue;
      try {
        this.#storage.transactionSync(() => {
          this.#sql.exec(sql);
          this.#sql.exec("INSERT INTO d1_migrations (name) VALUES (?)", name);
        });
      } catch (error) {
        this.#broken = `migration ${name} failed: ${error.message}`;
        console.error(this.#broken);
        return;
      }
    }
  }

  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (request.method !== "POST" || (pathname !== "/query" && pathname !== "/execute")) {
      return new Response("Not Found", { status: 404 });
    }
    const body = await request.json();
    return this.#run(Array.isArray(body) ? body : [body], searchParams.get("resultsFormat"));
  }

  #run(queries, format) {
    if (this.#broken !== null) return failure(this.#broken);
    const statements = queries.filter(({ sql }) => !EMPTY.test(sql));
    if (statements.length === 0) return failure("No SQL statements detected.");
    try {
      return Response.json(this.#storage.transactionSync(() => statements.map((query) => this.#query(query, format))));
    } catch (error) {
      this.#totals = this.#readTotals();
      return failure(error.message);
    }
  }

  #query({ sql, params }, format) {
    const started = performance.now();
    const sizeBefore = this.#sql.databaseSize;
    const cursor = this.#sql.exec(sql, ...(params ?? []).map(fromWire));
    const columns = cursor.columnNames;
    const rows = Array.from(cursor.raw(), (row) => row.map(toWire));
    const duration = performance.now() - started;
    const before = this.#totals;
    const after = (this.#totals = this.#readTotals());
    const size_after = this.#sql.databaseSize;
    const changes = after.changes - before.changes;
    return {
      success: true,
      results: format === "ROWS_AND_COLUMNS" ? { columns, rows } : rows.map((row) => asObject(columns, row)),
      meta: {
        served_by: "sluice",
        served_by_primary: true,
        total_attempts: 1,
        timings: { sql_duration_ms: duration },
        duration,
        changes,
        last_row_id: after.lastRowId,
        changed_db: changes !== 0 || after.lastRowId !== before.lastRowId || size_after !== sizeBefore,
        size_after,
        rows_read: cursor.rowsRead,
        rows_written: cursor.rowsWritten,
      },
    };
  }

  #readTotals() {
    return this.#sql.exec("SELECT total_changes() AS changes, last_insert_rowid() AS lastRowId").toArray()[0];
  }
}

const failure = (error) => Response.json({ success: false, error });
const fromWire = (value) => (Array.isArray(value) ? new Uint8Array(value) : value);
const toWire = (value) => (value instanceof ArrayBuffer ? Array.from(new Uint8Array(value)) : value);
const asObject = (columns, row) => Object.fromEntries(columns.map((column, i) => [column, row[i]]));
