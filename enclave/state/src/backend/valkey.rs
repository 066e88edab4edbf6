//! Rows in Valkey or Redis, which several replicas share. Whether they survive a crash of the server is the server's
//! configuration (`appendonly yes`, `appendfsync always`).
//!
//! Everything is one of four scripts, so a commit is one round trip and atomic. The protocol (RESP2) is small enough to be
//! read here, from a server that nobody trusts, bounded and to the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::reach::{Reach, Stream};
use super::{Backend, Pending, Position, Row, Write};
use crate::error::StateError;
use crate::seal::Address;
use crate::table::Table;

/// How long one operation may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the feed is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Longest line of the protocol, in bytes.
const MAX_LINE: u64 = 1024;
/// Deepest nesting of an answer.
const MAX_DEPTH: u8 = 3;

/// See the module.
pub struct Valkey {
    server: Server,
    reach: Arc<dyn Reach>,
    prefix: Vec<u8>,
    connection: Mutex<Option<Connection>>,
}

type Connection = BufReader<Box<dyn Stream>>;

/// A server, as a URL names it.
pub struct Server {
    host: String,
    port: u16,
    tls: bool,
    user: Vec<u8>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Server {
    /// From `redis://USER:PASSWORD@HOST:PORT` (or `valkey:`), with TLS `rediss:` (or `valkeys:`); user, password and port may
    /// be left away.
    ///
    /// # Errors
    /// What it must be.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let form = "redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS";
        let (scheme, rest) = url.split_once("://").ok_or(form)?;
        let tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(form),
        };
        let (who, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| form)?),
            _ => (place, 6379),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(form);
        }
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(Zeroizing::new(percent_decoded(password).ok_or(form)?))),
            None => (who, None),
        };
        Ok(Self { host: host.to_owned(), port, tls, user: percent_decoded(user).ok_or(form)?, password })
    }

    /// With this password in place of the one in the URL.
    pub fn set_password(&mut self, password: &[u8]) {
        self.password = Some(Zeroizing::new(password.to_vec()));
    }
}

/// `%` and two hex digits are a byte (RFC 3986 section 2.1).
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    out.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        out.extend_from_slice(rest.as_bytes());
    }
    Some(out)
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Bytes(Vec<u8>),
    Error,
    Many(Vec<Self>),
    Nothing,
    Number(i64),
}

impl Valkey {
    /// Connects.
    ///
    /// # Errors
    /// [`StateError::Unavailable`], [`StateError::Tls`].
    pub async fn open(server: Server, reach: Arc<dyn Reach>, store: [u8; 16]) -> Result<Self, StateError> {
        let own = Self {
            server,
            reach,
            prefix: format!("{{postern:1:{:032x}}}", u128::from_be_bytes(store)).into_bytes(),
            connection: Mutex::new(None),
        };
        own.last().await?;
        Ok(own)
    }

    async fn run(&self, script: &str, arguments: &[Vec<u8>]) -> Result<Answer, StateError> {
        let mut command: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), b"1", &self.prefix];
        command.extend(arguments.iter().map(Vec::as_slice));
        let mut connection = self.connection.lock().await;
        // Taken out while in use: if this future is dropped in the middle, so is the connection.
        let mut own = match connection.take() {
            Some(own) => own,
            None => timeout(LIMIT, self.connect()).await.map_err(|_| StateError::Unavailable)??,
        };
        let answer = timeout(LIMIT, ask(&mut own, &command)).await.map_err(|_| StateError::Unavailable)??;
        *connection = Some(own);
        if answer == Answer::Error { Err(StateError::Unavailable) } else { Ok(answer) }
    }

    async fn connect(&self) -> Result<Connection, StateError> {
        let Server { host, port, tls, user, password } = &self.server;
        let mut stream = self.reach.dial(host, *port).await?;
        if *tls {
            stream = self.reach.secure(host, stream).await?;
        }
        let mut own = BufReader::new(stream);
        if let Some(password) = password {
            let mut command: Vec<&[u8]> = vec![b"AUTH"];
            command.extend((!user.is_empty()).then_some(&user[..]));
            command.push(password);
            if ask(&mut own, &command).await? == Answer::Error {
                return Err(StateError::Unavailable);
            }
        }
        Ok(own)
    }

    async fn last(&self) -> Result<Position, StateError> {
        match self.run(POSITION, &[]).await? {
            Answer::Bytes(digits) => number(&digits),
            Answer::Nothing => Ok(0),
            Answer::Error | Answer::Many(_) | Answer::Number(_) => Err(StateError::Damaged),
        }
    }

    async fn news(&self, since: Position, limit: usize) -> Result<(Vec<Row>, Position), StateError> {
        let arguments = [since.to_string().into_bytes(), limit.to_string().into_bytes()];
        let Answer::Many(found) = self.run(CHANGES, &arguments).await? else {
            return Err(StateError::Damaged);
        };
        let (mut rows, mut end) = (Vec::new(), since);
        for entry in found {
            let Answer::Many(mut parts) = entry else { return Err(StateError::Damaged) };
            let Some(Answer::Bytes(position)) = parts.pop() else { return Err(StateError::Damaged) };
            end = end.max(number(&position)?);
            rows.extend(row(Answer::Many(parts))?);
        }
        Ok((rows, end))
    }
}

impl Backend for Valkey {
    fn read<'a>(&'a self, at: &'a [Address]) -> Pending<'a, Vec<Option<Row>>> {
        Box::pin(async move {
            let fields: Vec<Vec<u8>> = at.iter().map(field).collect();
            let Answer::Many(found) = self.run(READ, &fields).await? else { return Err(StateError::Damaged) };
            if found.len() != at.len() {
                return Err(StateError::Damaged);
            }
            found.into_iter().map(row).collect()
        })
    }

    fn page(&self, table: Table, after: Option<[u8; 32]>, limit: usize) -> Pending<'_, Vec<Row>> {
        Box::pin(async move {
            let from = match after {
                Some(hash) => [b"(".as_slice(), &field(&Address { table, hash })].concat(),
                None => [b"[".as_slice(), &[table.number()]].concat(),
            };
            let to = [b"[".as_slice(), &field(&Address { table, hash: [u8::MAX; 32] })].concat();
            let found = self.run(PAGE, &[from, to, limit.to_string().into_bytes()]).await?;
            let Answer::Many(found) = found else { return Err(StateError::Damaged) };
            let rows: Vec<Option<Row>> = found.into_iter().map(row).collect::<Result<_, _>>()?;
            Ok(rows.into_iter().flatten().collect())
        })
    }

    fn write(&self, rows: Vec<Write>) -> Pending<'_, ()> {
        Box::pin(async move {
            let mut arguments = Vec::with_capacity(rows.len().saturating_mul(4));
            for row in rows {
                arguments.push(field(&row.at));
                arguments.push(row.version.saturating_sub(1).to_string().into_bytes());
                arguments.push(row.version.to_string().into_bytes());
                arguments.push(row.sealed);
            }
            match self.run(WRITE, &arguments).await? {
                Answer::Number(0) => Ok(()),
                Answer::Number(place) => {
                    let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
                    Err(index.map_or(StateError::Damaged, |index| StateError::Conflict { index }))
                }
                Answer::Bytes(_) | Answer::Error | Answer::Many(_) | Answer::Nothing => {
                    Err(StateError::Damaged)
                }
            }
        })
    }

    fn position(&self) -> Pending<'_, Position> {
        Box::pin(self.last())
    }

    fn changes(&self, since: Position, limit: usize, wait: Duration) -> Pending<'_, (Vec<Row>, Position)> {
        Box::pin(async move {
            let until = Instant::now().checked_add(wait).unwrap_or_else(Instant::now);
            loop {
                let (rows, end) = self.news(since, limit).await?;
                let left = until.saturating_duration_since(Instant::now());
                if !rows.is_empty() || left.is_zero() {
                    return Ok((rows, end));
                }
                sleep(left.min(POLL)).await;
            }
        })
    }
}

/// Sends one command and reads its answer.
async fn ask(connection: &mut Connection, command: &[&[u8]]) -> Result<Answer, StateError> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for word in command {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    connection.write_all(&bytes).await.map_err(|_| StateError::Unavailable)?;
    let mut room = MAX_ANSWER;
    read_answer(connection, &mut room, MAX_DEPTH).await
}

/// One answer of RESP2: `+text`, `-error`, `:number`, `$length bytes`, `*count answers`.
async fn read_answer(from: &mut Connection, room: &mut usize, depth: u8) -> Result<Answer, StateError> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line).await.map_err(|_| StateError::Unavailable)?;
    let line = line.strip_suffix(b"\r\n").ok_or(StateError::Unavailable)?;
    let (kind, rest) = line.split_first().ok_or(StateError::Damaged)?;
    match kind {
        b'+' => Ok(Answer::Bytes(rest.to_vec())),
        b'-' => Ok(Answer::Error),
        b':' => Ok(Answer::Number(signed(rest)?)),
        b'$' | b'*' if rest == b"-1" => Ok(Answer::Nothing),
        b'$' => {
            let length = usize::try_from(signed(rest)?).map_err(|_| StateError::Damaged)?;
            *room = room.checked_sub(length).ok_or(StateError::TooLarge)?;
            let mut bytes = vec![0; length.saturating_add(2)];
            from.read_exact(&mut bytes).await.map_err(|_| StateError::Unavailable)?;
            let body = bytes.strip_suffix(b"\r\n").ok_or(StateError::Damaged)?;
            Ok(Answer::Bytes(body.to_vec()))
        }
        b'*' => {
            let count = usize::try_from(signed(rest)?).map_err(|_| StateError::Damaged)?;
            let below = depth.checked_sub(1).ok_or(StateError::Damaged)?;
            *room = room.checked_sub(count.saturating_mul(16)).ok_or(StateError::TooLarge)?;
            let mut many = Vec::new();
            for _ in 0..count {
                many.push(Box::pin(read_answer(from, room, below)).await?);
            }
            Ok(Answer::Many(many))
        }
        _ => Err(StateError::Damaged),
    }
}

fn signed(digits: &[u8]) -> Result<i64, StateError> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(StateError::Damaged)
}

fn number(digits: &[u8]) -> Result<u64, StateError> {
    u64::try_from(signed(digits)?).map_err(|_| StateError::Damaged)
}

/// Table number and hash.
fn field(at: &Address) -> Vec<u8> {
    let mut field = vec![at.table.number()];
    field.extend_from_slice(&at.hash);
    field
}

/// Field, version and sealed bytes; nothing for a row that is not there.
fn row(answer: Answer) -> Result<Option<Row>, StateError> {
    let Answer::Many(parts) = answer else { return Err(StateError::Damaged) };
    let mut parts = parts.into_iter();
    let (field, version, sealed) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Answer::Bytes(field)), Some(Answer::Bytes(version)), Some(Answer::Bytes(sealed)), None) => {
            (field, version, sealed)
        }
        (None, ..) => return Ok(None),
        _ => return Err(StateError::Damaged),
    };
    let (table, hash) = field.split_first().ok_or(StateError::Damaged)?;
    let table = Table::from_number(*table).ok_or(StateError::Format)?;
    let hash = hash.try_into().map_err(|_| StateError::Damaged)?;
    Ok(Some(Row { at: Address { table, hash }, version: number(&version)?, sealed }))
}

/// `:version` and `:sealed` are hashes by field; `:order` sorts fields by position, `:names` by themselves.
const WRITE: &str = "
    for i = 1, #ARGV, 4 do
        if (redis.call('HGET', KEYS[1]..':version', ARGV[i]) or '0') ~= ARGV[i+1] then return (i + 3) / 4 end
    end
    for i = 1, #ARGV, 4 do
        local at = redis.call('INCR', KEYS[1]..':last')
        redis.call('HSET', KEYS[1]..':version', ARGV[i], ARGV[i+2])
        redis.call('HSET', KEYS[1]..':sealed', ARGV[i], ARGV[i+3])
        redis.call('ZADD', KEYS[1]..':order', at, ARGV[i])
        redis.call('ZADD', KEYS[1]..':names', 0, ARGV[i])
    end
    return 0";
const READ: &str = "
    local out = {}
    for i, field in ipairs(ARGV) do
        local version = redis.call('HGET', KEYS[1]..':version', field)
        out[i] = version and {field, version, redis.call('HGET', KEYS[1]..':sealed', field)} or {}
    end
    return out";
const PAGE: &str = "
    local out = {}
    for i, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[1]..':names', ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
        out[i] = {field, redis.call('HGET', KEYS[1]..':version', field), redis.call('HGET', KEYS[1]..':sealed', field)}
    end
    return out";
const CHANGES: &str = "
    local out = {}
    local news = redis.call('ZRANGEBYSCORE', KEYS[1]..':order', '('..ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
    for i = 1, #news, 2 do
        out[#out + 1] = {news[i], redis.call('HGET', KEYS[1]..':version', news[i]),
            redis.call('HGET', KEYS[1]..':sealed', news[i]), string.format('%.0f', news[i+1])}
    end
    return out";
const POSITION: &str = "return redis.call('GET', KEYS[1]..':last')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_who_and_where() {
        let parsed = |url: &str| {
            let own = Server::parse(url)?;
            let password = own.password.map(|own| String::from_utf8(own.to_vec()).unwrap());
            Ok((own.host, own.port, own.tls, String::from_utf8(own.user).unwrap(), password))
        };
        let all = |host: &str, port, tls, user: &str, password: Option<&str>| {
            Ok::<_, &str>((host.to_owned(), port, tls, user.to_owned(), password.map(str::to_owned)))
        };
        assert_eq!(parsed("redis://cache"), all("cache", 6379, false, "", None));
        assert_eq!(parsed("redis://:word@cache:7000/"), all("cache", 7000, false, "", Some("word")));
        assert_eq!(parsed("rediss://me:a%40b%3a@[::1]:1"), all("::1", 1, true, "me", Some("a@b:")));
        assert_eq!(parsed("valkeys://[::1]"), all("::1", 6379, true, "", None));
        for bad in
            ["cache", "http://cache", "redis://", "redis://cache:x", "redis://:%4@cache", "redis://cache/1"]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
