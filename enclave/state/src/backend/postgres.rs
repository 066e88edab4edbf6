//! Rows in PostgreSQL, which several replicas share. It sees ciphertext under keyed hashes: who reads the connection learns
//! no more than who runs the database, and who edits it is noticed. TLS is for networks on which others than the database's
//! owner could learn its password or destroy what is in it.
//!
//! One connection, made anew when it breaks. Commits of all replicas stand in one line (an advisory lock), so that positions
//! of the feed are visible in their order; `NOTIFY` wakes the others, and a poll finds what a lost notification would have
//! told.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row as Found};

use super::reach::{Reach, Stream};
use super::{Backend, Pending, Position, Row, Write};
use crate::error::StateError;
use crate::seal::Address;
use crate::table::Table;

/// Version of the tables.
const SCHEMA: i32 = 1;
/// How long one operation may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the feed is looked at without a notification.
const POLL: Duration = Duration::from_millis(500);

/// Asks for TLS (PostgreSQL's protocol 3, `SSLRequest`): length 8, then the number that stands for the wish.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// See the module.
pub struct Postgres {
    server: Server,
    reach: Arc<dyn Reach>,
    store: Vec<u8>,
    client: Mutex<Option<Client>>,
    written: Arc<watch::Sender<u64>>,
}

/// A database, as a URL names it.
pub struct Server {
    config: Config,
    host: String,
    port: u16,
    tls: bool,
}

impl Server {
    /// From `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, at the end perhaps `?sslmode=` with `disable` (the default) or
    /// `verify-full`.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut tls, mut rest) = (false, Vec::new());
        for word in query.split('&').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("sslmode", "disable")) => tls = false,
                Some(("sslmode", "verify-full")) => tls = true,
                Some(("sslmode", _)) => {
                    return Err("sslmode=verify-full or sslmode=disable: what is between proves nothing");
                }
                _ => rest.push(word),
            }
        }
        let form = "postgres://USER:PASSWORD@HOST:PORT/DATABASE with one host";
        let mut config: Config = format!("{place}?{}", rest.join("&")).parse().map_err(|_| form)?;
        let [Host::Tcp(host)] = config.get_hosts() else { return Err(form) };
        if config.get_user().is_none_or(str::is_empty) {
            return Err("a user in the URL");
        }
        let (host, port) = (host.clone(), config.get_ports().first().copied().unwrap_or(5432));
        // Agreed on before the library sees the stream.
        config.ssl_mode(SslMode::Disable);
        Ok(Self { config, host, port, tls })
    }

    /// With this password in place of the one in the URL.
    pub fn set_password(&mut self, password: &[u8]) {
        self.config.password(password);
    }
}

impl Postgres {
    /// Connects, and makes the tables if they are not there.
    ///
    /// # Errors
    /// [`StateError::Unavailable`], [`StateError::Tls`]; [`StateError::Format`] if a newer release has made the tables.
    pub async fn open(server: Server, reach: Arc<dyn Reach>, store: [u8; 16]) -> Result<Self, StateError> {
        let own = Self {
            server,
            reach,
            store: store.to_vec(),
            client: Mutex::new(None),
            written: Arc::new(watch::Sender::new(0)),
        };
        let mut client = own.client.lock().await;
        own.connected(&mut client).await?;
        drop(client);
        Ok(own)
    }

    /// The connection, made anew if it broke.
    async fn connected<'c>(&self, client: &'c mut Option<Client>) -> Result<&'c mut Client, StateError> {
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(timeout(LIMIT, self.connect()).await.map_err(|_| StateError::Unavailable)??);
        }
        client.as_mut().ok_or(StateError::Unavailable)
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, StateError> {
        let Server { host, port, tls, .. } = &self.server;
        let mut stream = self.reach.dial(host, *port).await?;
        if !tls {
            return Ok(stream);
        }
        stream.write_all(&SSL_REQUEST).await.map_err(|_| StateError::Unavailable)?;
        // One byte and no more: whatever follows in the clear must not be taken for what TLS protected.
        let answer = stream.read_u8().await.map_err(|_| StateError::Unavailable)?;
        if answer == b'S' { self.reach.secure(host, stream).await } else { Err(StateError::Tls) }
    }

    async fn connect(&self) -> Result<Client, StateError> {
        let stream = self.stream().await?;
        let connected = self.server.config.connect_raw(stream, NoTls).await;
        let (mut client, mut connection) = connected.map_err(unavailable)?;
        let written = Arc::clone(&self.written);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    written.send_modify(|count| *count = count.wrapping_add(1));
                }
            }
        });
        let transaction = client.transaction().await.map_err(unavailable)?;
        transaction.batch_execute(TABLES).await.map_err(unavailable)?;
        let schema = transaction.query_one("SELECT version FROM postern_schema", &[]).await;
        let schema: i32 = schema.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        if schema != SCHEMA {
            return Err(StateError::Format);
        }
        transaction.commit().await.map_err(unavailable)?;
        client.batch_execute("LISTEN postern_rows").await.map_err(unavailable)?;
        Ok(client)
    }

    async fn query(
        &self,
        statement: &str,
        with: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Found>, StateError> {
        let mut client = self.client.lock().await;
        let client = self.connected(&mut client).await?;
        timeout(LIMIT, client.query(statement, with))
            .await
            .map_err(|_| StateError::Unavailable)?
            .map_err(unavailable)
    }

    async fn commit(&self, rows: Vec<Write>) -> Result<(), StateError> {
        let mut client = self.client.lock().await;
        let client = self.connected(&mut client).await?;
        let transaction = client.transaction().await.map_err(unavailable)?;
        let (mut tables, mut hashes, mut versions, mut sealed) = (vec![], vec![], vec![], vec![]);
        for row in rows {
            tables.push(i16::from(row.at.table.number()));
            hashes.push(row.at.hash.to_vec());
            versions.push(i64::try_from(row.version).map_err(|_| StateError::TooLarge)?);
            sealed.push(row.sealed);
        }
        transaction.execute(LOCK, &[]).await.map_err(unavailable)?;
        let conflict = transaction
            .query_opt(CONFLICT, &[&self.store, &tables, &hashes, &versions])
            .await
            .map_err(unavailable)?;
        if let Some(conflict) = conflict {
            let place: i64 = conflict.try_get(0).map_err(unavailable)?;
            // dropping the transaction takes the lock back
            return Err(StateError::Conflict {
                index: usize::try_from(place.saturating_sub(1)).unwrap_or(0),
            });
        }
        transaction
            .execute(WRITE, &[&self.store, &tables, &hashes, &versions, &sealed])
            .await
            .map_err(unavailable)?;
        transaction.execute("NOTIFY postern_rows", &[]).await.map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)
    }

    async fn news(&self, since: Position, limit: usize) -> Result<(Vec<Row>, Position), StateError> {
        let from = i64::try_from(since).map_err(|_| StateError::TooLarge)?;
        let found = self.query(CHANGES, &[&self.store, &from, &count(limit)]).await?;
        let mut end = since;
        for row in &found {
            let position: i64 = row.try_get(4).map_err(unavailable)?;
            end = end.max(u64::try_from(position).map_err(|_| StateError::Damaged)?);
        }
        Ok((found.iter().map(row).collect::<Result<_, _>>()?, end))
    }
}

impl Backend for Postgres {
    fn read<'a>(&'a self, at: &'a [Address]) -> Pending<'a, Vec<Option<Row>>> {
        Box::pin(async move {
            let tables: Vec<i16> = at.iter().map(|at| i16::from(at.table.number())).collect();
            let hashes: Vec<Vec<u8>> = at.iter().map(|at| at.hash.to_vec()).collect();
            let found = self.query(READ, &[&self.store, &tables, &hashes]).await?;
            let found: Vec<Row> = found.iter().map(row).collect::<Result<_, _>>()?;
            Ok(at.iter().map(|at| found.iter().find(|row| row.at == *at).cloned()).collect())
        })
    }

    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Pending<'_, Vec<Row>> {
        Box::pin(async move {
            let after = after.map(|after| after.to_vec()).unwrap_or_default();
            let table = i16::from(table.number());
            let found = self.query(PAGE, &[&self.store, &table, &after, &count(limit)]).await?;
            found.iter().map(row).collect()
        })
    }

    fn write(&self, rows: Vec<Write>) -> Pending<'_, ()> {
        Box::pin(async move { timeout(LIMIT, self.commit(rows)).await.map_err(|_| StateError::Unavailable)? })
    }

    fn position(&self) -> Pending<'_, Position> {
        Box::pin(async move {
            let found = self.query(POSITION, &[&self.store]).await?;
            let last: i64 = found.first().ok_or(StateError::Damaged)?.try_get(0).map_err(unavailable)?;
            u64::try_from(last).map_err(|_| StateError::Damaged)
        })
    }

    fn changes(&self, since: Position, limit: usize, wait: Duration) -> Pending<'_, (Vec<Row>, Position)> {
        Box::pin(async move {
            let until = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
            let mut written = self.written.subscribe();
            loop {
                let (rows, end) = self.news(since, limit).await?;
                let left = until.saturating_duration_since(Instant::now());
                if !rows.is_empty() || left.is_zero() {
                    return Ok((rows, end));
                }
                // Either is a reason to look again.
                timeout(left.min(POLL), written.changed()).await.ok();
            }
        })
    }
}

/// Table, hash, version, sealed.
fn row(found: &Found) -> Result<Row, StateError> {
    let table: i16 = found.try_get(0).map_err(unavailable)?;
    let hash: Vec<u8> = found.try_get(1).map_err(unavailable)?;
    let version: i64 = found.try_get(2).map_err(unavailable)?;
    let table = u8::try_from(table).ok().and_then(Table::from_number).ok_or(StateError::Format)?;
    let hash = hash.try_into().map_err(|_| StateError::Damaged)?;
    Ok(Row {
        at: Address { table, hash },
        version: u64::try_from(version).map_err(|_| StateError::Damaged)?,
        sealed: found.try_get(3).map_err(unavailable)?,
    })
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Whatever the library says: its words may hold addresses, and nobody acts on the difference.
fn unavailable(_: tokio_postgres::Error) -> StateError {
    StateError::Unavailable
}

const TABLES: &str = "
    SELECT pg_advisory_xact_lock(8117226);
    CREATE TABLE IF NOT EXISTS postern_schema (version int NOT NULL);
    INSERT INTO postern_schema SELECT 1 WHERE NOT EXISTS (SELECT FROM postern_schema);
    CREATE SEQUENCE IF NOT EXISTS postern_position;
    CREATE TABLE IF NOT EXISTS postern_rows (
        store bytea NOT NULL, tbl smallint NOT NULL, hash bytea NOT NULL,
        version bigint NOT NULL, position bigint NOT NULL, sealed bytea NOT NULL,
        PRIMARY KEY (store, tbl, hash));
    CREATE UNIQUE INDEX IF NOT EXISTS postern_order ON postern_rows (store, position);
";
const LOCK: &str = "SELECT pg_advisory_xact_lock(8117227)";
const READ: &str = "
    SELECT tbl, hash, version, sealed FROM postern_rows
    JOIN unnest($2::smallint[], $3::bytea[]) AS wanted(tbl, hash) USING (tbl, hash) WHERE store = $1";
const PAGE: &str = "
    SELECT tbl, hash, version, sealed FROM postern_rows
    WHERE store = $1 AND tbl = $2 AND hash > $3 ORDER BY hash LIMIT $4";
const CONFLICT: &str = "
    SELECT new.place FROM unnest($2::smallint[], $3::bytea[], $4::bigint[])
        WITH ORDINALITY AS new(tbl, hash, version, place)
    LEFT JOIN postern_rows own ON own.store = $1 AND own.tbl = new.tbl AND own.hash = new.hash
    WHERE coalesce(own.version, 0) + 1 <> new.version ORDER BY new.place LIMIT 1";
const WRITE: &str = "
    INSERT INTO postern_rows
    SELECT $1, tbl, hash, version, nextval('postern_position'), sealed
    FROM unnest($2::smallint[], $3::bytea[], $4::bigint[], $5::bytea[]) AS new(tbl, hash, version, sealed)
    ON CONFLICT (store, tbl, hash) DO UPDATE
    SET version = excluded.version, position = excluded.position, sealed = excluded.sealed";
const POSITION: &str = "SELECT coalesce(max(position), 0) FROM postern_rows WHERE store = $1";
const CHANGES: &str = "
    SELECT tbl, hash, version, sealed, position FROM postern_rows
    WHERE store = $1 AND position > $2 ORDER BY position LIMIT $3";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_who_and_where() {
        let parsed = |url: &str| Server::parse(url).map(|own| (own.host, own.port, own.tls));
        let at = |host: &str, port, tls| Ok((host.to_owned(), port, tls));
        assert_eq!(parsed("postgres://me@db/postern"), at("db", 5432, false));
        assert_eq!(parsed("postgresql://me:word@db:1/x?sslmode=verify-full"), at("db", 1, true));
        assert_eq!(parsed("postgres://me@db/x?sslmode=disable&application_name=p"), at("db", 5432, false));
        for bad in [
            "postgres://db/x",
            "postgres://:word@db/x",
            "postgres://me@db/x?sslmode=require",
            "postgres://me@db/x?sslmode=prefer",
            "postgres://me@db,other/x",
            "postgres://me@%2Ftmp/x",
            "postgres://me@db:x/x",
            "postgres://me@db/x?unheard_of=1",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
