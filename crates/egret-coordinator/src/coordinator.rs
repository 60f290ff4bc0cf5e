//! Starting and stopping: store, drive, recorder, listener.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use egret_core::id::{BatchId, IdMaker};
use egret_lookup::known::Table;
use egret_store::{Flow, FlowKept, SqliteStore, Start, Store, StoreError};
use egret_tls::COORDINATOR;
use egret_wire::api::{TokenRequest, TokenView};
use egret_wire::problem::Problem;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;

use crate::api::{self, Estimates, Keyring, Knocks, Shared};
use crate::bootstrap::Renewal;
use crate::cache::Cache;
use crate::clock::{Clock, instant, wall_ms};
use crate::config::Config;
use crate::config::value::is_loopback;
use crate::drive::{Drive, Memory, Message, Parts, StoredFlows};
use crate::join::Proofs;
use crate::recorder::{QUEUE, Recorder};
use crate::seal::Seals;
use crate::server::Listener;
use crate::services::Services;
use crate::session::Outgoing;
use crate::{identity, passage, server, tls};

/// Messages that may wait for the drive; beyond it handlers and sessions wait.
const INBOX: usize = 1_024;
/// Bytes of results that may wait for the drive (chosen: four of the longest frames).
const RESULTS_ROOM: usize = 64 << 20;
/// Open jobs read from the store in one go at the start.
const PAGE: usize = 5_000;
/// How long an agent may take to come back after a stop.
const COME_BACK_MS: u64 = 2_000;
/// How often it is looked whether the last call has ended (chosen).
const LOOK: Duration = Duration::from_millis(50);
/// How long stopping may take before open connections are cut.
const STOP: Duration = Duration::from_secs(5);

/// Drawn bits in the name of a start; 20 are left for its number (chosen: a million starts, and one in 4,096 like its copy's).
const DRAWN: u32 = 12;

/// Why a coordinator did not start; one line with what, where and the mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data dir cannot be used.
    #[error("{0}")]
    Data(String),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {listen}: {reason}; stop the program that uses it or set `listen` to another port"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's words.
        reason: std::io::Error,
    },
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Data(error.to_string())
    }
}

/// What a coordinator has of the world around it.
#[derive(Debug)]
pub struct Surroundings<L> {
    /// Where agents and callers come in.
    pub listener: L,
    /// What it remembers, in the data dir of its configuration.
    pub store: SqliteStore,
    /// The wall clock, in milliseconds since 1970.
    pub wall_ms: fn() -> u64,
}

/// A running coordinator.
pub struct Coordinator {
    url: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    drive: JoinHandle<()>,
    recorder: JoinHandle<()>,
}

impl Coordinator {
    /// Opens the store, queues again what has not ended, and listens.
    ///
    /// # Errors
    /// An unusable data dir or address.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = listen(config.listen).await?;
        let store = SqliteStore::open(&config.data_dir)?;
        Self::start_in(Surroundings { listener, store, wall_ms }, config).await
    }

    /// The same with what is given; [`Config::listen`] is not looked at.
    ///
    /// # Errors
    /// An unusable data dir.
    pub async fn start_in<L: Listener>(
        surroundings: Surroundings<L>,
        config: Config,
    ) -> Result<Self, StartError> {
        let Surroundings { listener, store, wall_ms } = surroundings;
        let clock = Clock::start(wall_ms);
        let store: Arc<dyn Store> = Arc::new(store.with_answers_room(config.cache_size));
        let cache = Arc::new(Cache::new(Arc::clone(&store), config.cache_size, clock));
        let id = identity::coordinator_id(&config.data_dir).map_err(StartError::Data)?;
        let address =
            listener.local_addr().map_err(|reason| StartError::Listen { listen: config.listen, reason })?;
        let tls = tls::shown(&config.tls, &config.data_dir, names(address.ip())).map_err(StartError::Data)?;
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                "INSECURE: plain HTTP on {address}; whoever listens in can read keys, tokens and answers, and forge them"
            );
        }
        let Start { number, last_id } = store.begin(clock.wall_ms()).await?;
        let owners = config.owners().map(|(name, weight)| (name.to_owned(), weight)).collect();
        let api_keys = config.api_keys;
        let table = config.catalogue.then(|| Arc::clone(Table::embedded()));
        let services = Services::new(config.services, table).map_err(StartError::Data)?;
        let services = Arc::new(services.with_local(config.bootstrap.as_deref().is_some_and(is_local)));
        let renewal = config.bootstrap.map(|base| Renewal::open(&base, &config.data_dir)).transpose();
        let renewal = renewal.map_err(StartError::Data)?;
        if let Some(table) = renewal.as_ref().and_then(Renewal::table) {
            services.renew(table);
        }
        let (ledgers, orders) = (store.ledgers().await?, store.orders().await?);
        // What was asked before has budgets that count from the start, and maybe an order to stand still.
        let paused = orders.iter().filter_map(|(key, _)| key.strip_prefix("service/"));
        for id in ledgers.iter().map(|row| row.service.as_str()).chain(paused) {
            // One that is gone has no budget any more.
            let _ = services.revive(id);
        }
        let (inbox, messages) = mpsc::channel(INBOX);
        let (finished, queue) = mpsc::channel(QUEUE);
        let (safe, safe_jobs) = mpsc::unbounded_channel();
        let (recorded, follow) = watch::channel(0);
        let waiters = Arc::new(DashMap::new());
        let sessions = Arc::new(DashMap::new());
        let open_jobs = Arc::new(AtomicUsize::new(0));
        let airborne = Arc::new(DashSet::new());
        let drive = Drive::new(Parts {
            services: Arc::clone(&services),
            memory: Memory::new(ledgers, store.egresses().await?),
            new_egress: config.new_egress,
            start: start_name(number),
            clock,
            store: Arc::clone(&store),
            cache: Arc::clone(&cache),
            recorder: finished,
            waiters: Arc::clone(&waiters),
            open_jobs: Arc::clone(&open_jobs),
            airborne: Arc::clone(&airborne),
            owners,
            orders,
            sessions: Arc::clone(&sessions),
        });
        let drive = tokio::spawn(drive.run(messages, safe_jobs, inbox.downgrade()));
        let recorder =
            Recorder { store: Arc::clone(&store), sessions: Arc::clone(&sessions), safe, recorded };
        let recorder = tokio::spawn(recorder.run(queue));
        let estimates = Estimates::new();
        let shared = Arc::new(Shared {
            id,
            keyring: Keyring::new(api_keys).map_err(StartError::Data)?,
            knocks: Knocks::default(),
            services,
            store,
            cache,
            clock,
            drive: inbox,
            ids: std::sync::Mutex::new(IdMaker::above(last_id)),
            default_deadline: config.default_deadline,
            open_jobs,
            is_ready: AtomicBool::new(false),
            proofs: Proofs::new().map_err(StartError::Data)?,
            pin: tls.as_ref().map_or(tls::PLAIN, |tls| &tls.pin).to_owned(),
            seals: Seals::open(&config.data_dir).map_err(StartError::Data)?,
            results_room: Arc::new(Semaphore::new(RESULTS_ROOM)),
            via_room: crate::api::via_room(),
            passages: Arc::new(Semaphore::new(passage::MOST)),
            channel_binding: config.channel_binding,
            trusted_proxies: config.trusted_proxies,
            sessions,
            waiters,
            airborne,
            retries: tokio::sync::Mutex::default(),
            estimates,
            recorded: follow,
        });
        queue_again(&shared).await?;
        shared.is_ready.store(true, Ordering::Release);
        let (stop, stopping) = watch::channel(false);
        if let Some(renewal) = renewal {
            tokio::spawn(renewal.run(Arc::clone(&shared.services), stopping.clone()));
        }
        let router = api::router(Arc::clone(&shared));
        let acceptor = tls.map(|tls| tls.acceptor);
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let server = tokio::spawn(server::serve(listener, router, acceptor, stopping));
        Ok(Self { url: format!("{scheme}://{}", from_here(address)), shared, stop, server, drive, recorder })
    }

    /// Where it can be reached from this host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the loop that owns the budgets answers.
    pub async fn lives(&self) -> bool {
        self.shared.ask(|_, _| ()).await.is_ok()
    }

    /// Makes a join token, as `POST /v1/join-tokens` does.
    ///
    /// # Errors
    /// What the API would answer.
    pub async fn create_token(&self, request: TokenRequest) -> Result<TokenView, Problem> {
        api::create_token(&self.shared, request).await
    }

    /// Grants nothing more, waits up to `patience` for the calls under way, tells the agents, finishes what is being
    /// written, and closes the store. With nothing under way at the end the next start has nothing to guess.
    pub async fn stop(self, patience: Duration) {
        self.shared.is_ready.store(false, Ordering::Release);
        if tokio::time::timeout(patience, self.drain()).await.is_err() {
            tracing::warn!("calls are still under way; their results come to the next start");
        }
        for session in self.shared.sessions.iter() {
            let _ = session.try_send(Outgoing::GoingAway(COME_BACK_MS));
        }
        // The receivers are gone only if the server is.
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(STOP, self.server).await;
        drop(self.shared);
        // Handlers that were cut hold no sender any more; the drive ends with its inbox, the recorder with the drive.
        let _ = tokio::time::timeout(STOP, self.drive).await;
        let _ = tokio::time::timeout(STOP, self.recorder).await;
    }
}

/// An address that reaches a listener on this host.
fn from_here(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
    }
}

/// What a certificate of our own is good for. Egret's own clients look for the first name only.
fn names(listen: IpAddr) -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let all = [COORDINATOR, "localhost", "127.0.0.1", "::1", host.trim()].map(str::to_owned);
    let listen = (!listen.is_unspecified() && !listen.is_loopback()).then(|| listen.to_string());
    all.into_iter().chain(listen).filter(|name| !name.is_empty()).collect()
}

impl Coordinator {
    async fn drain(&self) {
        let why = "the coordinator is stopping".to_owned();
        let mut is_busy = self.shared.ask(|drive, now| drive.stop(Some(why), now)).await.is_ok();
        while is_busy {
            // A drive that is gone has nothing under way.
            is_busy = self.shared.ask(|drive, _| drive.is_busy()).await.unwrap_or(false);
            if is_busy {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Whether IANA's files come from this host: then they may name servers on it.
fn is_local(bootstrap: &str) -> bool {
    Url::parse(bootstrap).is_ok_and(|url| is_loopback(&url))
}

async fn listen(listen: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(listen).await.map_err(|reason| StartError::Listen { listen, reason })
}

/// Every flow with jobs that have not ended is opened again; their attempts so far are charged in the ledgers.
async fn queue_again(shared: &Shared) -> Result<(), StartError> {
    let mut by_batch: BTreeMap<Option<BatchId>, StoredFlows> = BTreeMap::new();
    let mut total = 0;
    for FlowKept { flow, waiting, last: (deadline_ms, job) } in shared.store.flows().await? {
        match shared.services.revive(&flow.service) {
            Ok(service) => {
                total += waiting;
                let last = (instant(deadline_ms), job);
                by_batch.entry(flow.batch).or_default().push((flow, service, waiting, last));
            }
            Err(_) => give_up(shared, &flow).await?,
        }
    }
    if total > 0 {
        tracing::info!("{total} jobs that had not ended are queued again");
    }
    shared.open_jobs.fetch_add(total as usize, Ordering::Relaxed);
    // Only now are the counts of every batch what they will start from.
    for (batch, flows) in by_batch {
        let batch = match batch {
            Some(id) => api::progress(shared, id).await?.map(|progress| (id, progress)),
            None => None,
        };
        // The drive lives as long as this function's caller.
        let _ = shared.drive.send(Message::Flows { flows, batch }).await;
    }
    Ok(())
}

/// Ends every job of a flow whose service is gone.
async fn give_up(shared: &Shared, flow: &Arc<Flow>) -> Result<(), StartError> {
    loop {
        let rows = shared.store.waiting(flow, None, PAGE).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let now_ms = shared.clock.wall_ms();
        let reopened = rows.iter().map(|row| api::reopen(&shared.services, row, now_ms));
        let ended = reopened.filter_map(Result::err).collect::<Vec<_>>();
        if ended.is_empty() {
            return Ok(());
        }
        shared.store.append_outcomes(ended).await?.await?;
    }
}

/// The name of a start in attempts: its number, and drawn bits behind it, since a copy of the data counts on with the same
/// numbers, and an agent that comes from one to the other brings the results of both.
fn start_name(number: u32) -> u32 {
    number << DRAWN | fastrand::u32(..1 << DRAWN)
}
