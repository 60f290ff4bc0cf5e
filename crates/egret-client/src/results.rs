//! The results of a batch as they come in, read on from the last one whenever the connection breaks.

use std::time::Duration;

use bytes::Bytes;
use egret_wire::api::{BatchState, JobView};
use reqwest::Response;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{ANSWER_WITHIN, Client};
use crate::error::ClientError;
use crate::lines::Lines;

/// The longest line: an answer of 4 MiB in which every byte has to be escaped, with room around it.
const LONGEST_LINE: usize = 32 << 20;
/// A connection that says nothing for so long is opened anew, which costs little (chosen).
const SILENCE: Duration = Duration::from_secs(60);
/// For how long a coordinator that answered before is tried again (chosen: a restart takes seconds).
const PATIENCE: Duration = Duration::from_secs(60);
/// The first wait between two tries, doubled up to [`LONGEST_PAUSE`] (chosen).
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One job that has ended.
#[derive(Clone, Debug)]
pub struct ResultLine {
    /// The job.
    pub job: JobView,
    /// The same as it came, with fields that this version does not know.
    pub text: Bytes,
}

/// Results in the order of ending; see [`Client::results`].
#[derive(Debug)]
pub struct Results {
    client: Client,
    batch: String,
    cursor: Option<String>,
    body: Option<Response>,
    lines: Lines,
    pass: Pass,
    has_ended: bool,
    failing: Failing,
    patience: Duration,
}

/// Which reading of the list is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The batch had not ended when it began: its end need not be the end.
    Following,
    /// Its end is the end.
    Last,
    /// It has ended; what has arrived is still to be handed over.
    Over,
}

/// How tries have gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failing {
    /// Nothing has ever been read: a failure is the caller's at once.
    NeverAnswered,
    No,
    Since {
        first: Instant,
        pause: Duration,
    },
}

impl Client {
    /// Reads the results of a batch from `cursor` on; with `follow` until the batch has ended.
    ///
    /// Nothing is sent before the first [`Results::next`].
    pub fn results(&self, batch: &str, follow: bool, cursor: Option<String>) -> Results {
        Results {
            client: self.clone(),
            batch: batch.to_owned(),
            cursor,
            body: None,
            lines: Lines::new(LONGEST_LINE),
            pass: if follow { Pass::Following } else { Pass::Last },
            has_ended: false,
            failing: Failing::NeverAnswered,
            patience: PATIENCE,
        }
    }
}

impl Results {
    /// The next result; `None` after the last.
    ///
    /// A connection that breaks is opened anew for a minute, from the last result on: none is lost or doubled.
    /// An error is the end as well; [`Results::cursor`] says from where to read on. Dropping the future loses
    /// nothing but the time spent connecting.
    pub async fn next(&mut self) -> Option<Result<ResultLine, ClientError>> {
        while !self.has_ended {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(line)) => return Some(Ok(line)),
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// The batch whose results these are.
    pub fn batch(&self) -> &str {
        &self.batch
    }

    /// From where to read on after the last result.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    async fn step(&mut self) -> Result<Option<ResultLine>, ClientError> {
        let too_long =
            |_| self.client.nonsense(format!("a result is longer than {} MiB", LONGEST_LINE >> 20));
        if let Some(text) = self.lines.next_line().map_err(too_long)? {
            return self.result(text).map(Some);
        }
        if self.pass == Pass::Over {
            self.has_ended = true;
            return Ok(None);
        }
        let Some(body) = &mut self.body else {
            let opened = self.open().await;
            return self.bear(opened).await.map(|()| None);
        };
        match timeout(SILENCE, body.chunk()).await {
            Ok(Ok(Some(piece))) => {
                self.failing = Failing::No;
                self.lines.push(&piece);
            }
            Ok(Ok(None)) => {
                let passed = self.end_pass().await;
                self.bear(passed).await?;
            }
            Ok(Err(error)) => {
                let error = self.client.broken(&error);
                self.bear(Err(error)).await?;
            }
            Err(_) => {
                self.failing = Failing::No;
                self.drop_connection();
            }
        }
        Ok(None)
    }

    fn result(&mut self, text: Bytes) -> Result<ResultLine, ClientError> {
        let job: JobView = serde_json::from_slice(&text)
            .map_err(|error| self.client.nonsense(format!("a result does not read: {error}")))?;
        if job.cursor.is_some() {
            self.cursor.clone_from(&job.cursor);
        }
        Ok(ResultLine { job, text })
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let mut query = vec![("format", "ndjson")];
        query.extend((self.pass == Pass::Following).then_some(("follow", "true")));
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let request = self.client.get(&["v1", "batches", &self.batch, "results"]).query(&query);
        // The time-out of a request would cover its body, which may take days.
        let answer = timeout(ANSWER_WITHIN, self.client.send(request)).await;
        let silent = || ClientError::Broken {
            url: self.client.url().to_owned(),
            reason: "no answer in time".to_owned(),
        };
        self.body = Some(answer.map_err(|_| silent())??);
        if self.failing == Failing::NeverAnswered {
            self.failing = Failing::No;
        }
        Ok(())
    }

    /// The body has ended in order: the batch has ended too, or the coordinator is going away.
    async fn end_pass(&mut self) -> Result<(), ClientError> {
        self.body = None;
        self.lines.close();
        if self.pass == Pass::Last {
            self.pass = Pass::Over;
            return Ok(());
        }
        match self.client.batch(&self.batch).await?.state {
            BatchState::Done | BatchState::Cancelled => self.pass = Pass::Last,
            BatchState::Receiving | BatchState::Running | BatchState::Paused => sleep(FIRST_PAUSE).await,
        }
        Ok(())
    }

    /// Lets a failure pass that may go away, after a pause; passes on any other, and one that stays too long.
    async fn bear(&mut self, result: Result<(), ClientError>) -> Result<(), ClientError> {
        let Err(error) = result else { return Ok(()) };
        self.drop_connection();
        let now = Instant::now();
        let (first, pause) = match self.failing {
            Failing::NeverAnswered => return Err(error),
            Failing::No => (now, FIRST_PAUSE),
            Failing::Since { first, pause } => (first, (pause * 2).min(LONGEST_PAUSE)),
        };
        if !error.is_passing() || now.duration_since(first) > self.patience {
            return Err(error);
        }
        self.failing = Failing::Since { first, pause };
        sleep(pause).await;
        Ok(())
    }

    fn drop_connection(&mut self) {
        self.body = None;
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{BATCH, Stage, chunked, json};
    use egret_wire::problem::{Code, Problem};

    fn line(number: u32) -> String {
        format!(
            r#"{{"id":"job_{number}","batch":"bat_1","lookup":"domain","target":"zwölf.example","service":"s",
            "state":"done","priority":"normal","created_at":"2026-01-01T00:00:00.000Z","ended_at":null,
            "cached":false,"attempts":[],"labels":{{}},"cursor":"c{number}"}}"#
        )
        .replace('\n', "")
            + "\n"
    }

    async fn read(mut results: Results) -> (Vec<String>, Option<ClientError>) {
        let mut ids = Vec::new();
        while let Some(next) = results.next().await {
            match next {
                Ok(line) => ids.push(line.job.id),
                Err(error) => return (ids, Some(error)),
            }
        }
        (ids, None)
    }

    fn first_lines(stage: &Stage) -> Vec<String> {
        let heads = stage.requests();
        heads
            .iter()
            .map(|head| head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned())
            .collect()
    }

    #[tokio::test]
    async fn lines_cut_by_the_network_come_whole() {
        let text = line(1) + "\n" + &line(2) + line(3).trim_end();
        let (head, tail) = text.split_at(text.find("wölf").unwrap() + 1);
        let (middle, end) = tail.split_at(tail.len() - 5);
        let stage = Stage::playing(vec![chunked(&[head, middle, end], true)]).await;
        let (ids, error) = read(stage.client().results("bat_1", false, None)).await;
        assert_eq!(ids, ["job_1", "job_2", "job_3"]);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(first_lines(&stage), ["GET /v1/batches/bat_1/results?format=ndjson"]);
    }

    #[tokio::test]
    async fn a_broken_connection_is_read_on_from_the_last_whole_line() {
        let cut = &line(2)[..40];
        let stage = Stage::playing(vec![
            chunked(&[&line(1), cut], false),
            json(503, &serde_json::to_string(&Problem::new(Code::NotReady, "starting")).unwrap()),
            chunked(&[&line(2)], true),
            json(200, &BATCH.replace("\"running\",", "\"done\",")),
            chunked(&[&line(3)], true),
        ])
        .await;
        let (ids, error) = read(stage.client().results("bat_1", true, None)).await;
        assert_eq!(ids, ["job_1", "job_2", "job_3"]);
        assert!(error.is_none(), "{error:?}");
        let results = "GET /v1/batches/bat_1/results?format=ndjson";
        assert_eq!(
            first_lines(&stage),
            [
                format!("{results}&follow=true"),
                format!("{results}&follow=true&cursor=c1"),
                format!("{results}&follow=true&cursor=c1"),
                "GET /v1/batches/bat_1".to_owned(),
                format!("{results}&cursor=c2"),
            ]
        );
    }

    #[tokio::test]
    async fn an_end_in_order_is_not_the_end_while_the_batch_runs() {
        let stage = Stage::playing(vec![
            chunked(&[&line(1)], true),
            json(200, BATCH),
            chunked(&[&line(2)], true),
            json(200, &BATCH.replace("\"running\",", "\"done\",")),
            chunked(&[], true),
        ])
        .await;
        let (ids, error) = read(stage.client().results("bat_1", true, None)).await;
        assert_eq!(ids, ["job_1", "job_2"]);
        assert!(error.is_none(), "{error:?}");
    }

    #[tokio::test]
    async fn a_coordinator_that_stays_away_ends_the_reading() {
        let stage = Stage::playing(vec![chunked(&[&line(1)], false)]).await;
        let mut results = stage.client().results("bat_1", true, None);
        results.patience = Duration::from_millis(500);
        let (ids, error) = read(results).await;
        assert_eq!(ids, ["job_1"]);
        assert!(matches!(error, Some(ClientError::Unreachable { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn what_fails_at_first_is_not_tried_again() {
        let gone = serde_json::to_string(&Problem::new(Code::NotReady, "starting")).unwrap();
        let stage = Stage::playing(vec![json(503, &gone)]).await;
        let (ids, error) = read(stage.client().results("bat_1", true, None)).await;
        assert!(ids.is_empty());
        assert!(matches!(error, Some(ClientError::Problem(_))), "{error:?}");
    }
}
