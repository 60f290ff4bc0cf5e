//! IANA's RDAP bootstrap, kept as new as it is at a configured URL (RFC 9224): fetched at the start and when its server
//! says, and put in place of that part of the catalogue.
//!
//! Nothing waits for it. Whatever is wrong with a file, what was in use stays. The last good files are in the data dir
//! (`kept`), so a start without a network begins with them. [`Services`] is told of each new table;
//! `fetch` asks, `freshness` says when again.

mod fetch;
mod freshness;
mod kept;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use egret_lookup::known::{Bootstrap, BootstrapFile, Table};
use egret_wire::value::Span;
use reqwest::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::services::Services;
use fetch::{Fetched, NoFile, Validators};

/// The four files, each on its own.
pub(crate) struct Renewal {
    client: Client,
    data_dir: PathBuf,
    /// What is in use of them.
    bootstrap: Bootstrap,
    files: [Known; 4],
}

/// What is known of one file.
struct Known {
    file: BootstrapFile,
    url: String,
    /// Of the version in use.
    validators: Validators,
    /// When it is to be asked for.
    due: Instant,
    /// In a row.
    failures: u32,
    /// What the log has of it, so as not to say it twice.
    said: Option<String>,
}

impl Renewal {
    /// Reads what an earlier start kept of the files below `base`, which ends in `/`. All are due at once.
    ///
    /// # Errors
    /// No client can be made; one line.
    pub(crate) fn open(base: &str, data_dir: &Path) -> Result<Self, String> {
        let mut bootstrap = Bootstrap::default();
        let files = BootstrapFile::ALL.map(|file| {
            let mut known = Known::new(file, format!("{base}{}", file.name()));
            known.validators = known.kept(data_dir, &mut bootstrap).unwrap_or_default();
            known
        });
        Ok(Self { client: fetch::fetcher()?, data_dir: data_dir.to_owned(), bootstrap, files })
    }

    /// The table with the files that were kept; `None`: there are none.
    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        // None is taken that does not say when it was published.
        let is_used = |file: BootstrapFile| self.bootstrap.published(file).is_some();
        BootstrapFile::ALL.into_iter().any(is_used).then(|| Arc::new(Table::with_bootstrap(&self.bootstrap)))
    }

    /// Keeps the services' table new until `stopping` says so or is gone.
    pub(crate) async fn run(mut self, services: Arc<Services>, mut stopping: watch::Receiver<bool>) {
        let renewing = async {
            while let Some((due, next)) =
                (0..).zip(&self.files).map(|(index, known)| (known.due, index)).min()
            {
                tokio::time::sleep_until(due).await;
                self.renew(next, &services).await;
            }
        };
        tokio::select! {
            () = renewing => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
    }

    /// Asks for one file, uses what comes, and settles when to ask again.
    async fn renew(&mut self, index: usize, services: &Services) {
        let Known { url, validators, .. } = &self.files[index];
        let done = match fetch::fetch(&self.client, url, validators).await {
            Ok(Fetched::Same(head)) => Ok(head),
            Ok(Fetched::New { head, text, validators }) => {
                self.take(index, text, validators, services).await.map(|()| head)
            }
            Err(NoFile { why, retry_after }) => Err((why, retry_after)),
        };
        let known = &mut self.files[index];
        match done {
            Ok(head) => known.wait_for(freshness::fresh_for(&head, SystemTime::now())),
            Err((why, retry_after)) => {
                if let Some(wait) = known.fail(&why, retry_after) {
                    tracing::warn!(
                        "{} cannot be used: {why}; the catalogue stays as it is, and the file is asked for again in {}; see \
                         that `bootstrap` in the config file is right",
                        known.url,
                        Span(wait)
                    );
                }
            }
        }
    }

    /// Uses a new text of a file, if it is good, and keeps it.
    async fn take(
        &mut self,
        index: usize,
        text: String,
        validators: Validators,
        services: &Services,
    ) -> Result<(), (String, Option<Duration>)> {
        let (file, mut bootstrap) = (self.files[index].file, std::mem::take(&mut self.bootstrap));
        // Megabytes of a stranger's text, and a table of them: not on a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || {
            let table = bootstrap.renew(file, &text).map(|()| Arc::new(Table::with_bootstrap(&bootstrap)));
            (bootstrap, text, table)
        });
        let (bootstrap, text, table) = read.await.map_err(|error| (error.to_string(), None))?;
        self.bootstrap = bootstrap;
        services.renew(table.map_err(|error| (error.to_string(), None))?);
        let known = &mut self.files[index];
        known.validators = validators.clone();
        known.used(self.bootstrap.published(file).unwrap_or_default());
        let (data_dir, url) = (self.data_dir.clone(), known.url.clone());
        let kept = tokio::task::spawn_blocking(move || kept::write(&data_dir, file, &url, text, validators));
        if let Ok(Err(why)) = kept.await {
            tracing::warn!("{why}");
        }
        Ok(())
    }
}

impl Known {
    fn new(file: BootstrapFile, url: String) -> Self {
        let validators = Validators::default();
        Self { file, url, validators, due: Instant::now(), failures: 0, said: None }
    }

    /// Reads what is kept into the bootstrap; the validators if it is good.
    fn kept(&self, data_dir: &Path, bootstrap: &mut Bootstrap) -> Option<Validators> {
        let read = kept::read(data_dir, self.file, &self.url).transpose()?.and_then(|(text, validators)| {
            bootstrap.renew(self.file, &text).map(|()| validators).map_err(|error| error.to_string())
        });
        match read {
            Ok(validators) => {
                self.used(bootstrap.published(self.file).unwrap_or_default());
                Some(validators)
            }
            Err(why) => {
                tracing::warn!("{why}");
                None
            }
        }
    }

    /// It is in use.
    fn used(&self, published: &str) {
        tracing::info!("{} is in use for the catalogue, published {published}", self.url);
    }

    /// All is well for so long.
    fn wait_for(&mut self, fresh: Duration) {
        self.failures = 0;
        if self.said.take().is_some() {
            tracing::info!("{} can be used again", self.url);
        }
        self.due = Instant::now() + freshness::spread(fresh, fastrand::f64());
    }

    /// It cannot be used. How long it is left alone; `None` if that reason was told before.
    fn fail(&mut self, why: &str, retry_after: Option<Duration>) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let wait = freshness::retry_in(self.failures, retry_after);
        self.due = Instant::now() + freshness::spread(wait, fastrand::f64());
        let is_new = self.said.as_deref() != Some(why);
        is_new.then(|| {
            self.said = Some(why.to_owned());
            wait
        })
    }
}
