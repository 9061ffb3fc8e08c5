//! The page over HTTP, and the events that keep it up to date.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use stepscope_report::advice::advise;
use stepscope_report::{Page, Run, Story};
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};

use crate::WatchError;
use crate::access::{self, Access, COOKIE, Credentials, Verdict};
use crate::source::Source;

/// The port that is tried first: the same address after a restart.
pub const DEFAULT_PORT: u16 = 7117;

/// How often the files are looked at, and how often a page is told.
const POLL: Duration = Duration::from_millis(150);
const TELL: Duration = Duration::from_millis(100);

/// A page is brought up to date at most so often that making it takes one part in this many of a core: training next to
/// it needs the others.
const SHARE: u32 = 10;

/// What is watched, and where it is shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folders of runs, or folders that hold such folders.
    pub folders: Vec<PathBuf>,
    /// The port; without one [`DEFAULT_PORT`], or any free one where that is taken.
    pub port: Option<u16>,
    /// An address to listen on instead of the loopback; whoever comes through it needs a token.
    pub listen: Option<IpAddr>,
    /// The token; without one a random one is made. At least 16 letters, digits, `-` or `_`.
    pub token: Option<String>,
}

impl Options {
    /// Watches `folders` on the loopback address.
    pub fn new<Folder: Into<PathBuf>>(folders: impl IntoIterator<Item = Folder>) -> Self {
        Self { folders: folders.into_iter().map(Into::into).collect(), port: None, listen: None, token: None }
    }
}

/// A live page that has its address and waits to be [run](Server::run).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Mutex<Source>,
    access: Access,
    /// Names this process: a page that outlives a restart sees another name and asks anew.
    process: String,
    /// Counts changes of the files.
    version: AtomicU64,
    /// Ends the thread that looks at the files.
    ended: AtomicBool,
    /// How long the last page took to make, in microseconds.
    cost: AtomicU64,
}

impl Server {
    /// Takes the address; nothing is answered before [`Server::run`].
    ///
    /// # Errors
    /// [`WatchError::Bind`] where the address is taken or not this machine's; [`WatchError::Token`] for a bad token.
    pub fn bind(options: Options) -> Result<Self, WatchError> {
        let host = options.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let bind = |port: u16| {
            let address = SocketAddr::new(host, port);
            TcpListener::bind(address).map_err(|source| WatchError::Bind { address, source })
        };
        let listener = match options.port {
            Some(port) => bind(port)?,
            None => bind(DEFAULT_PORT).or_else(|_| bind(0))?,
        };
        let address = listener.local_addr().map_err(WatchError::Serve)?;
        let access = match options.listen {
            None => Access::Loopback { port: address.port() },
            Some(_) => Access::Token(options.token.map_or_else(|| Ok(access::random_token()), access::checked_token)?),
        };
        let shared = Shared {
            source: Mutex::new(Source::new(options.folders)),
            access,
            process: access::random_token(),
            version: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            cost: AtomicU64::new(0),
        };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// The address to open, with the token where one is needed.
    pub fn url(&self) -> String {
        match &self.shared.access {
            Access::Loopback { .. } => format!("http://{}/", self.address),
            Access::Token(token) => format!("http://{}/?token={token}", self.address),
        }
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// [`WatchError::Serve`] where the system refuses to go on.
    pub fn run(self) -> Result<(), WatchError> {
        self.shared.source().poll();
        let follower = std::thread::spawn({
            let shared = Arc::clone(&self.shared);
            move || shared.follow()
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let served = runtime.and_then(|runtime| {
            runtime.block_on(async {
                self.listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(self.listener)?;
                axum::serve(listener, router(Arc::clone(&self.shared))).await
            })
        });
        self.shared.ended.store(true, Ordering::Relaxed);
        // The thread only reads; how it ended changes nothing.
        let _ = follower.join();
        served.map_err(WatchError::Serve)
    }
}

impl Shared {
    /// Looks at the files until the server ends.
    fn follow(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(POLL.max(SHARE * Duration::from_micros(self.cost.load(Ordering::Relaxed))));
            if self.source().poll() {
                self.version.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // A panic while reading leaves the runs as they were read so far.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> String {
        format!("{}-{}", self.process, self.version.load(Ordering::Relaxed))
    }

    /// Makes a page, or its update, from the present state of the files.
    fn make(&self, make: impl FnOnce(&Page, &str) -> String) -> String {
        let begun = Instant::now();
        let (runs, version, title, problems) = {
            let source = self.source();
            (source.runs(), self.version(), source.title(), source.problems().to_vec())
        };
        let advice = advise(&runs);
        let page = Page::new(title)
            .story(story(advice.story, &runs, &problems))
            .runs(&runs)
            .references(advice.references)
            .live();
        let text = make(&page, &version);
        self.cost.store(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        text
    }
}

/// The words of the report, after what cannot be read.
fn story(advised: Story, runs: &[Run], problems: &[String]) -> Story {
    let headline = if runs.is_empty() {
        "No run yet: this page shows the first one as soon as it begins.".to_owned()
    } else {
        advised.headline
    };
    let problems = problems.iter().map(|problem| format!("Not shown: {problem}")).collect::<Vec<_>>();
    Story { headline, paragraphs: [problems, advised.paragraphs].concat(), table: advised.table }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/update", get(update))
        .route("/events", get(events))
        .fallback(async || (StatusCode::NOT_FOUND, "Nothing is here: the page is at /\n"))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// What every answer carries: it is for this page alone, and for now.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets in who may see the page.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let refused = refusal(&shared.access, &request);
    let mut response = match refused {
        None => next.run(request).await,
        Some(refused) => refused,
    };
    let headers = HEADERS.into_iter().map(|(name, value)| (name, header::HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
}

/// What is answered instead of the page; nothing where the request is granted.
fn refusal(access: &Access, request: &Request) -> Option<Response> {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let shown = Credentials {
        host: text(header::HOST),
        cookies: text(header::COOKIE),
        authorization: text(header::AUTHORIZATION),
        token: pairs.filter(|(name, _)| *name == "token").map(|(_, value)| value).next_back(),
    };
    match access.judge(&shown) {
        Verdict::Granted => None,
        Verdict::MoveToCookie => {
            let token = shown.token.unwrap_or_default();
            let cookie = format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/");
            Some(([(header::SET_COOKIE, cookie)], Redirect::to(request.uri().path())).into_response())
        }
        Verdict::WrongHost => Some((StatusCode::FORBIDDEN, WRONG_HOST).into_response()),
        Verdict::NoToken => Some((StatusCode::UNAUTHORIZED, NO_TOKEN).into_response()),
    }
}

const WRONG_HOST: &str = "This page is for its own machine: ask for it as 127.0.0.1 or localhost.\n";
const NO_TOKEN: &str = "This page needs its token: open the address that stepscope watch printed.\n";

/// Makes a text on a thread where computing may take its time.
async fn made(
    shared: Arc<Shared>,
    make: impl FnOnce(&Page, &str) -> String + Send + 'static,
) -> Result<String, StatusCode> {
    tokio::task::spawn_blocking(move || shared.make(make)).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn page(State(shared): State<Arc<Shared>>) -> Result<Html<String>, StatusCode> {
    made(shared, |page, _| page.render()).await.map(Html)
}

async fn update(State(shared): State<Arc<Shared>>) -> Result<Response, StatusCode> {
    let json = made(shared, |page, version| page.update(version)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// A version at once, and again whenever it changes.
async fn events(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut told = None;
    let versions = IntervalStream::new(interval(TELL)).filter_map(move |_| {
        let version = shared.version();
        let news = told.as_ref() != Some(&version);
        told = Some(version.clone());
        news.then(|| Ok(Event::default().event("version").data(version)))
    });
    Sse::new(versions).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

#[cfg(test)]
#[path = "../../stepscope-report/tests/common/mod.rs"]
pub(crate) mod synthetic;
