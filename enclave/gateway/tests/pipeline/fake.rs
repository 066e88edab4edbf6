//! A fake upstream that plays prepared answers, and what it takes to run the pipeline against it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use gateway::config::{GatewayConfig, SecretError, SecretReference, SecretSource};
use gateway::provider::builtin;
use gateway::upstream::{Progress, ReadError, SendError};
use gateway::{
    Answer, AnswerBody, Clock, Gateway, Now, Plaintext, Refused, RequestHead, Secret, Step, Upstream,
    UpstreamBody, UpstreamCall, UpstreamResponse,
};

/// The client's key in [`CONFIG`].
pub const KEY: &str = "sk-client-0123456789abcdef";
/// The provider's credential in [`CONFIG`].
pub const CREDENTIAL: &str = "sk-provider-fedcba9876543210";

/// Two deployments behind `smart` (which is called `gpt-x` upstream), one behind `gpt-x`, the built-in model.
pub const CONFIG: &str = r#"
version = 1

[limits]
request_body_bytes = 1000000
answer_body_bytes = 1000000

[[admission.keys]]
id = "tester"
# sk-client-0123456789abcdef
sha256 = "@KEY@"
models = ["*"]

[[admission.keys]]
id = "narrow"
# sk-narrow-0123456789abcdef
sha256 = "@NARROW@"
models = ["builtin"]
max_in_flight = 1

[deployments.main]
provider = "openai"
model = "gpt-x"
credential = "test:main"

[deployments.second]
provider = "openai_compatible"
model = "gpt-y"
base_url = "http://127.0.0.1:9000/api/v1/"

[deployments.claude]
provider = "anthropic"
model = "claude-opus-4-6"
credential = "test:main"

[deployments.claude-old]
provider = "anthropic"
model = "claude-3-7-sonnet-20250219"
credential = "test:main"

[deployments.builtin]
provider = "builtin"
model = "postern-test"

[models.smart]
deployments = ["main", "second"]
retry = { per_deployment = 0 }

[models.gpt-x]
deployments = ["main"]
retry = { max_attempts = 1 }

[models.claude]
deployments = ["claude"]
retry = { max_attempts = 1 }

[models.claude-opus-4-6]
deployments = ["claude"]
retry = { max_attempts = 1 }

[models.claude-old]
deployments = ["claude-old"]
retry = { max_attempts = 1 }

[models.builtin]
deployments = ["builtin"]
"#;

/// The second key in [`CONFIG`].
pub const NARROW_KEY: &str = "sk-narrow-0123456789abcdef";

/// A gateway from [`CONFIG`] and more TOML.
pub fn gateway_with(more: &str) -> Gateway {
    gateway_from("", more)
}

/// The same with keys before the first table.
pub fn gateway_from(first: &str, more: &str) -> Gateway {
    let hex = |key: &str| {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let text =
        format!("{first}{}{more}", CONFIG.replace("@KEY@", &hex(KEY)).replace("@NARROW@", &hex(NARROW_KEY)));
    let config: GatewayConfig = gateway::config::parse(&text).expect("the test configuration parses");
    gateway::config::build(&config, &Secrets).expect("the test configuration builds").seeded(7)
}

pub fn gateway() -> Gateway {
    gateway_with("")
}

/// Temporary AWS keys, `test:aws`.
pub const AWS_KEYS: &str =
    r#"{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"wJalrXUtnFEMI","SessionToken":"TOKEN/+="}"#;

/// The key of a service account that exists nowhere, `test:google`.
pub const GOOGLE_ACCOUNT: &str = include_str!("service_account.json");
/// The secret of an application that exists nowhere, `test:entra`.
pub const ENTRA_APPLICATION: &str = r#"{"appId":"app-1","tenant":"tenant-1","password":"s3cret~&+"}"#;
/// What the token services of [`FakeUpstream`] give unless told otherwise.
pub const ACCESS_TOKEN: &str = "ya29.access-token-1";

/// A prompt file, `test:prompts`.
pub const PROMPTS: &str = r#"
[prompts.quiet]
labels = { production = 1 }
[[prompts.quiet.versions]]
version = 1
messages = [{ text = "Unseen words." }]
[decorations.rule]
prepend = [{ text = "Unseen rule." }]
"#;

/// Knows `test:main`, `test:aws`, `test:google`, `test:prompts` and `test:entra`.
pub struct Secrets;

impl SecretSource for Secrets {
    fn read(&self, reference: &SecretReference) -> Result<Secret<Vec<u8>>, SecretError> {
        match reference.parts() {
            Some(("test", "main")) => Ok(Secret::new(format!("{CREDENTIAL}\n").into_bytes())),
            Some(("test", "aws")) => Ok(Secret::new(AWS_KEYS.as_bytes().to_vec())),
            Some(("test", "google")) => Ok(Secret::new(GOOGLE_ACCOUNT.as_bytes().to_vec())),
            Some(("test", "prompts")) => Ok(Secret::new(PROMPTS.as_bytes().to_vec())),
            Some(("test", "entra")) => Ok(Secret::new(ENTRA_APPLICATION.as_bytes().to_vec())),
            Some(("test", _)) => Err(SecretError::Missing),
            _ => Err(SecretError::UnknownScheme),
        }
    }
}

/// A clock that moves when told, or when everybody waits for it. Clones are the same clock.
#[derive(Clone, Default)]
pub struct TestClock(Rc<Time>);

#[derive(Default)]
struct Time {
    now: Cell<Duration>,
    timers: RefCell<BTreeSet<Duration>>,
}

/// Whether something has happened at this very time.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl TestClock {
    pub fn pass(&self, time: Duration) {
        self.0.now.set(self.0.now.get() + time);
    }

    /// Runs a future; whenever it waits, goes on to the next time that somebody waits for.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        for _ in 0..1_000_000_u32 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            if woken.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            let next = self.0.timers.borrow_mut().pop_first();
            let next = next.expect("the future waits for something that never comes");
            self.0.now.set(self.0.now.get().max(next));
        }
        panic!("the future never ends");
    }

    async fn until(&self, time: Duration) {
        poll_fn(|_| {
            if self.0.now.get() >= time {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().insert(time);
            Poll::Pending
        })
        .await;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let now = self.0.now.get();
        Now { unix_ms: 1_770_000_000_000 + now.as_millis() as u64, monotonic: now }
    }

    async fn sleep(&self, time: Duration) {
        self.until(self.0.now.get() + time).await;
    }
}

/// One piece of an answer's body.
#[derive(Clone)]
pub enum Piece {
    Bytes(Vec<u8>),
    Fail(ReadError),
    /// Nothing ever comes.
    Hang,
    /// Nothing comes for so long.
    Wait(Duration),
}

/// One prepared answer.
#[derive(Clone)]
pub enum Reply {
    Fail(SendError),
    /// The connection stands and nothing is answered.
    Silence,
    Response {
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        pieces: Vec<Piece>,
    },
}

impl Reply {
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::of(status, "application/json", vec![body.into()])
    }

    pub fn stream(pieces: Vec<Vec<u8>>) -> Self {
        Self::of(200, "text/event-stream", pieces)
    }

    pub fn of(status: u16, content_type: &str, pieces: Vec<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.as_bytes().to_vec())];
        Self::Response { status, headers, pieces: pieces.into_iter().map(Piece::Bytes).collect() }
    }

    pub fn then(mut self, piece: Piece) -> Self {
        if let Self::Response { pieces, .. } = &mut self {
            pieces.push(piece);
        }
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Response { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        self
    }
}

/// What was sent upstream.
pub struct Sent {
    pub deployment: String,
    pub path: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub passed_on: Vec<(String, Vec<u8>)>,
    pub body: Bytes,
    pub parts: usize,
}

/// Plays its replies in order; the built-in deployment answers itself, and services that give tokens give one.
#[derive(Default)]
pub struct FakeUpstream {
    replies: RefCell<VecDeque<Reply>>,
    /// Replies of one deployment, before all others.
    own: RefCell<BTreeMap<String, VecDeque<Reply>>>,
    clock: TestClock,
    pub sent: RefCell<Vec<Sent>>,
    /// What was sent to services that give tokens.
    pub traded: RefCell<Vec<Sent>>,
    /// Bodies that were dropped.
    pub dropped: Rc<Cell<usize>>,
}

impl FakeUpstream {
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { replies: RefCell::new(replies.into_iter().collect()), ..Self::default() }
    }

    /// With a clock, for replies that take time.
    pub fn timed(clock: &TestClock) -> Self {
        Self { clock: clock.clone(), ..Self::default() }
    }

    /// With replies of one deployment.
    #[must_use]
    pub fn of(self, deployment: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.own.borrow_mut().entry(deployment.to_owned()).or_default().extend(replies);
        self
    }

    /// What that deployment answers next.
    pub fn next_of(&self, deployment: &str, reply: Reply) {
        self.own.borrow_mut().entry(deployment.to_owned()).or_default().push_back(reply);
    }

    /// The clock that its replies take time by.
    pub const fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// Whom calls went to, in order.
    pub fn called(&self) -> Vec<String> {
        self.sent.borrow().iter().map(|sent| sent.deployment.clone()).collect()
    }
}

impl Upstream for FakeUpstream {
    type Body = FakeBody;

    async fn send(&self, call: UpstreamCall) -> Result<UpstreamResponse<FakeBody>, SendError> {
        let trades = ["entra", "google_oauth"].contains(&call.deployment.provider);
        let calls = if trades { &self.traded } else { &self.sent };
        calls.borrow_mut().push(Sent {
            deployment: call.deployment.name.to_string(),
            path: call.path.clone(),
            headers: call.headers.iter().map(|(name, value)| (*name, value.expose().to_vec())).collect(),
            passed_on: call
                .passed_on
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().clone()))
                .collect(),
            body: call.body.expose().to_bytes(),
            parts: call.body.expose().parts().len(),
        });
        let own = self.own.borrow_mut().get_mut(&*call.deployment.name).and_then(VecDeque::pop_front);
        let reply = match own {
            Some(reply) => reply,
            None if call.deployment.provider == "builtin" => play(builtin::respond(&call, Now::default())),
            None if trades => Reply::json(
                200,
                format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":3599,"token_type":"Bearer"}}"#),
            ),
            None => self.replies.borrow_mut().pop_front().expect("an unexpected call upstream"),
        };
        match reply {
            Reply::Fail(error) => Err(error),
            Reply::Silence => std::future::pending().await,
            Reply::Response { status, headers, pieces } => {
                let body = FakeBody {
                    pieces: pieces.into(),
                    dropped: Rc::clone(&self.dropped),
                    clock: self.clock.clone(),
                };
                Ok(UpstreamResponse { status, headers, body })
            }
        }
    }
}

fn play(reply: builtin::Reply) -> Reply {
    let headers = reply.headers();
    let pieces = match reply.body {
        builtin::ReplyBody::Whole(body) => vec![Piece::Bytes(body.into_exposed())],
        builtin::ReplyBody::Stream(events) => {
            let mut events = events.into_exposed();
            let mut pieces = Vec::new();
            let mut piece = Vec::new();
            while events.append_next(&mut piece) {
                pieces.push(Piece::Bytes(std::mem::take(&mut piece)));
            }
            pieces
        }
    };
    Reply::Response { status: reply.status, headers, pieces }
}

pub struct FakeBody {
    pieces: VecDeque<Piece>,
    dropped: Rc<Cell<usize>>,
    clock: TestClock,
}

impl UpstreamBody for FakeBody {
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<Progress, ReadError> {
        while let Some(Piece::Wait(time)) = self.pieces.front() {
            let until = self.clock.now().monotonic + *time;
            self.clock.until(until).await;
            self.pieces.pop_front();
        }
        match self.pieces.pop_front() {
            None | Some(Piece::Wait(_)) => Ok(Progress::End),
            Some(Piece::Bytes(bytes)) => {
                into.extend_from_slice(&bytes);
                Ok(Progress::Data)
            }
            Some(Piece::Fail(error)) => Err(error),
            Some(Piece::Hang) => std::future::pending().await,
        }
    }
}

impl Drop for FakeBody {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
    }
}

/// Runs a future that never waits for anything but prepared pieces.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    poll_once(future).expect("the future waits for something that never comes")
}

/// Polls a future once and drops it.
pub fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs both to their ends; what the first gives.
pub async fn both<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut value, mut ended) = (None, false);
    poll_fn(move |context| {
        if value.is_none()
            && let Poll::Ready(own) = first.as_mut().poll(context)
        {
            value = Some(own);
        }
        ended = ended || second.as_mut().poll(context).is_ready();
        if ended && value.is_some() { Poll::Ready(value.take().expect("just looked")) } else { Poll::Pending }
    })
    .await
}

pub fn head<'a>(method: &'a str, path: &'a str, headers: &'a [(&'a str, &'a [u8])]) -> RequestHead<'a> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    RequestHead { method, path, query, headers }
}

/// Opens and handles a request of [`KEY`].
pub fn ask(
    gateway: &Gateway,
    upstream: &FakeUpstream,
    path: &str,
    body: impl Into<Vec<u8>>,
) -> Result<Answer<FakeBody>, Refused> {
    let authorization = format!("Bearer {KEY}");
    let headers: &[(&str, &[u8])] =
        &[("Authorization", authorization.as_bytes()), ("Content-Type", b"application/json")];
    ask_with(gateway, upstream, &head("POST", path, headers), body)
}

pub fn ask_with(
    gateway: &Gateway,
    upstream: &FakeUpstream,
    head: &RequestHead<'_>,
    body: impl Into<Vec<u8>>,
) -> Result<Answer<FakeBody>, Refused> {
    let clock = upstream.clock.clone();
    let opened = gateway::open(head, gateway, clock.now())?;
    clock.run(gateway::handle(opened, Plaintext::new(Bytes::from(body.into())), gateway, upstream, &clock))
}

pub const CHAT: &str = "/v1/chat/completions";

/// The whole answer's bytes and how it ended.
pub fn collect(answer: Answer<FakeBody>) -> (Vec<u8>, Step) {
    match answer.body {
        AnswerBody::Whole(body) => (body.into_exposed().to_vec(), Step::Complete),
        AnswerBody::Stream(mut stream) => {
            let clock = TestClock::default();
            let mut out = Plaintext::new(Vec::new());
            loop {
                let step = run(stream.next(&mut out, &clock));
                if step != Step::More {
                    return (out.into_exposed(), step);
                }
            }
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
