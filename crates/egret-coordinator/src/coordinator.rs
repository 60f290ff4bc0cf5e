//! Starting and stopping: store, drive, recorder, listener.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use egret_core::id::{BatchId, IdMaker, JobId};
use egret_store::{SqliteStore, Start, Store, StoreError};
use egret_wire::api::{TokenRequest, TokenView};
use egret_wire::problem::Problem;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::api::{self, Estimates, Shared};
use crate::clock::{Clock, wall_ms};
use crate::config::Config;
use crate::drive::{Drive, Job, Memory, Message, Parts};
use crate::join::Proofs;
use crate::recorder::{QUEUE, Recorder};
use crate::services::Services;
use crate::session::Outgoing;
use crate::{identity, server};

/// Messages that may wait for the drive; beyond it handlers and sessions wait.
const INBOX: usize = 1_024;
/// Open jobs read from the store in one go at the start.
const PAGE: usize = 5_000;
/// How long an agent may take to come back after a stop.
const COME_BACK_MS: u64 = 2_000;
/// How long stopping may take before open connections are cut.
const STOP: Duration = Duration::from_secs(5);

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

/// A running coordinator.
pub struct Coordinator {
    address: SocketAddr,
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
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data_dir)?);
        let id = identity::coordinator_id(&config.data_dir).map_err(StartError::Data)?;
        let Start { number, last_id } = store.begin(wall_ms()).await?;
        let services = Arc::new(Services::new(config.services).map_err(StartError::Data)?);
        let clock = Clock::start();
        let (inbox, messages) = mpsc::channel(INBOX);
        let (finished, queue) = mpsc::channel(QUEUE);
        let (safe, safe_jobs) = mpsc::unbounded_channel();
        let (recorded, follow) = watch::channel(0);
        let waiters = Arc::new(DashMap::new());
        let sessions = Arc::new(DashMap::new());
        let open_jobs = Arc::new(AtomicUsize::new(0));
        let drive = Drive::new(Parts {
            services: Arc::clone(&services),
            memory: Memory::new(store.ledgers().await?, store.egresses().await?),
            new_egress: config.new_egress,
            start: number,
            clock,
            store: Arc::clone(&store),
            recorder: finished,
            waiters: Arc::clone(&waiters),
            open_jobs: Arc::clone(&open_jobs),
            sessions: Arc::clone(&sessions),
        });
        let drive = tokio::spawn(drive.run(messages, safe_jobs));
        let recorder =
            Recorder { store: Arc::clone(&store), sessions: Arc::clone(&sessions), safe, recorded };
        let recorder = tokio::spawn(recorder.run(queue));
        let estimates = Estimates::new(services.ids().count());
        let shared = Arc::new(Shared {
            id,
            services,
            store,
            clock,
            drive: inbox,
            ids: std::sync::Mutex::new(IdMaker::above(last_id)),
            default_deadline: config.default_deadline,
            open_jobs,
            is_ready: AtomicBool::new(false),
            proofs: Proofs::new().map_err(StartError::Data)?,
            sessions,
            waiters,
            estimates,
            recorded: follow,
        });
        queue_again(&shared).await?;
        shared.is_ready.store(true, Ordering::Release);
        let address =
            listener.local_addr().map_err(|reason| StartError::Listen { listen: config.listen, reason })?;
        let (stop, stopping) = watch::channel(false);
        let router = api::router(Arc::clone(&shared));
        let server = tokio::spawn(server::serve(listener, router, stopping));
        Ok(Self { address, shared, stop, server, drive, recorder })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Makes a join token, as `POST /v1/join-tokens` does.
    ///
    /// # Errors
    /// What the API would answer.
    pub async fn create_token(&self, request: TokenRequest) -> Result<TokenView, Problem> {
        api::create_token(&self.shared, request).await
    }

    /// Tells the agents, finishes what is being written, and closes the store.
    pub async fn stop(self) {
        self.shared.is_ready.store(false, Ordering::Release);
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

async fn listen(listen: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(listen).await.map_err(|reason| StartError::Listen { listen, reason })
}

/// Every job that has not ended is queued again; its attempts so far are charged in the ledgers.
async fn queue_again(shared: &Shared) -> Result<(), StartError> {
    let mut after = JobId(0);
    let mut by_batch: BTreeMap<Option<BatchId>, Vec<Job>> = BTreeMap::new();
    loop {
        let rows = shared.store.open_jobs(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        let mut ended = Vec::new();
        for row in rows {
            match api::reopen(shared, &row) {
                Ok(job) => by_batch.entry(row.batch).or_default().push(job),
                Err(outcome) => ended.push(outcome),
            }
        }
        shared.store.append_outcomes(ended).await?.await?;
    }
    // Only now are the counts of every batch what they will start from.
    for (batch, jobs) in by_batch {
        let progress = match batch {
            Some(id) => api::progress(shared, id).await?.map(|progress| (id, progress)),
            None => None,
        };
        tracing::info!("{} jobs that had not ended are queued again", jobs.len());
        shared.open_jobs.fetch_add(jobs.len(), Ordering::Relaxed);
        // The drive lives as long as this function's caller.
        let _ = shared.drive.send(Message::Submit { jobs, batch: progress }).await;
    }
    Ok(())
}
