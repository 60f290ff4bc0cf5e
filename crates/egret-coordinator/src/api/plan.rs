//! What a file of targets would take: counted as it comes, played, and forgotten. Nothing is stored or sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Json;
use egret_core::forecast::order::{Line, ahead};
use egret_core::forecast::{Bottleneck, Forecast};
use egret_core::id::{ServiceId, TenantId};
use egret_core::scope::Scope;
use egret_wire::api::{JobRequest, MorePlan, Plan, RejectedLine, ServicePlan};
use egret_wire::problem::Code;
use egret_wire::value::Time;

use super::accept::{check_age, class, deadline, kind, reuse, whom};
use super::batches::REJECTED_SHOWN;
use super::caller::Caller;
use super::estimates::played;
use super::lines::LineReader;
use super::{Failure, Shared, shown, upload};
use crate::cache::{Cache, PIECE, Reuse};
use crate::drive::Foresight;
use crate::services::{Services, rule};

/// How many numbers of more addresses may be asked about, and how large they may be.
const MOST_MORE: usize = 8;
const MOST_ADDRESSES: u32 = 1_000;
/// What a job and its outcome take on disk beside the target and the answer, in bytes: measured over 20,000 of them with
/// `egret submit` and the size of `egret.db`.
const ROW_BYTES: u64 = 580;

/// What the lines ask of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Calls, those that the cache would spare among them.
    calls: u64,
    cached: u64,
    target_bytes: u64,
}

/// What has been read so far.
#[derive(Default)]
struct Count {
    by_service: BTreeMap<ServiceId, Asked>,
    /// Questions that the cache has not been asked about yet.
    open: BTreeMap<ServiceId, Vec<Reuse>>,
    rejected: Vec<RejectedLine>,
    rejected_total: u64,
}

impl Count {
    async fn add(&mut self, cache: &Cache, service: ServiceId, bytes: usize, reuse: Option<Reuse>) {
        let asked = self.by_service.entry(service).or_default();
        asked.calls += 1;
        asked.target_bytes += bytes as u64;
        let Some(reuse) = reuse.filter(Reuse::shares) else { return };
        let open = self.open.entry(service).or_default();
        open.push(reuse);
        if open.len() >= PIECE {
            asked.cached += cache.known(std::mem::take(open)).await;
        }
    }

    async fn close(&mut self, cache: &Cache) {
        for (service, open) in std::mem::take(&mut self.open) {
            self.by_service.entry(service).or_default().cached += cache.known(open).await;
        }
    }
}

/// `POST /v1/plan`.
pub(crate) async fn plan(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(mut query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Plan>, Failure> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.split(';').next().unwrap_or_default().trim() != "text/plain" {
        let detail = format!("{} is not taken; send text/plain, one target a line", shown(media));
        return Err(Failure::new(Code::UnsupportedMediaType, detail));
    }
    let more = more(query.remove("more").as_deref())?;
    let options = upload::options(&query)?;
    deadline(&shared, options.deadline, shared.clock.wall_ms())?;
    check_age(&options)?;
    let count = count(&shared, &caller, &options, body).await?;
    let at = Time(shared.clock.wall_ms());
    // One at a time: each may be as much work as all services together.
    let _turn = shared.estimates.plans.lock().await;
    let (mut services, mut cached, mut disk_bytes) = (Vec::new(), 0, 0);
    let (owner, class) = (caller.owner().to_owned(), class(options.priority));
    let (tenant, weight) = shared.ask(move |drive, _| drive.weight_of(&owner)).await?;
    let own = Line { class, tenant, weight: f64::from(weight), waiting: 0 };
    for (service, asked) in count.by_service {
        let foresight = shared.ask(move |drive, now| drive.foresee(service, now)).await?;
        disk_bytes += asked.target_bytes + asked.calls * (ROW_BYTES + foresight.bytes);
        cached += asked.cached;
        let (known, more) = (Arc::clone(&shared.services), more.clone());
        services.push(played(move || foresee(&known, service, asked, own, &more, &foresight)).await?);
    }
    services.sort_by_key(|plan| std::cmp::Reverse(plan.calls));
    let finishes: Option<Vec<Time>> = services.iter().map(|plan| plan.finish_estimate).collect();
    Ok(Json(Plan {
        at,
        calls: services.iter().map(|plan| plan.calls).sum(),
        cached,
        rejected: count.rejected,
        rejected_total: count.rejected_total,
        disk_bytes,
        finish_estimate: finishes.and_then(|times| times.into_iter().max()),
        services,
    }))
}

/// The numbers of more addresses: `1,2,4`.
fn more(text: Option<&str>) -> Result<Vec<u32>, Failure> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let fits = |numbers: &Vec<u32>| {
        numbers.len() <= MOST_MORE && numbers.iter().all(|n| (1..=MOST_ADDRESSES).contains(n))
    };
    numbers.filter(fits).ok_or_else(|| {
        let detail = format!(
            "{} is not up to {MOST_MORE} numbers from 1 to {MOST_ADDRESSES}, such as 1,2,4",
            shown(text)
        );
        Failure::new(Code::InvalidField, detail).at("/more")
    })
}

/// Reads the lines and counts what they ask.
async fn count(shared: &Shared, caller: &Caller, options: &JobRequest, body: Body) -> Result<Count, Failure> {
    let mut count = Count::default();
    let mut lines = LineReader::new(body);
    while let Some(line) = lines.next().await? {
        if line.as_ref().is_ok_and(|line| line.iter().all(u8::is_ascii_whitespace)) {
            continue;
        }
        let planned = line.and_then(|line| {
            let target = std::str::from_utf8(&line)
                .map_err(|_| Failure::new(Code::InvalidTarget, "the line is not UTF-8"))?;
            let (kind, service) = (kind(options.lookup), options.service.as_deref());
            let step = shared.services.plan(kind, target, service, options.exact)?.first;
            caller.check_service(&step.service)?;
            let (service, at) = whom(&shared.services, &step)?;
            let question = (at.as_deref(), step.question.as_slice());
            let follows = options.lookup == egret_wire::api::Lookup::Domain
                && options.follow != Some(egret_wire::api::Follow::Registry);
            Ok((
                service,
                line.len(),
                reuse(&shared.services, service, "", options.max_age, follows, question),
            ))
        });
        match planned {
            Ok((service, bytes, reuse)) => count.add(&shared.cache, service, bytes, reuse).await,
            Err(Failure(problem)) => {
                count.rejected_total += 1;
                if count.rejected.len() < REJECTED_SHOWN {
                    let code = problem.code.as_str().to_owned();
                    count.rejected.push(RejectedLine { line: lines.number(), code, detail: problem.detail });
                }
            }
        }
    }
    count.close(&shared.cache).await;
    Ok(count)
}

/// What so many calls of a service would take, behind those that wait and go first.
fn foresee(
    services: &Services,
    service: ServiceId,
    asked: Asked,
    own: Line<TenantId>,
    more: &[u32],
    foresight: &Foresight,
) -> ServicePlan {
    let calls = asked.calls - asked.cached;
    let mut lines = foresight.lines.clone();
    let (class, tenant) = (own.class, own.tenant);
    match lines.iter_mut().find(|line| (line.class, line.tenant) == (class, tenant)) {
        Some(line) => line.waiting += calls,
        None => lines.push(Line { waiting: calls, ..own }),
    }
    let waiting = |l: &&Line<TenantId>| (l.class, l.tenant) == (class, tenant);
    let waiting = foresight.lines.iter().find(waiting).map_or(0, |line| line.waiting);
    // What is backing off comes in between as well.
    let backing_off = foresight.waiting.saturating_sub(foresight.lines.iter().map(|line| line.waiting).sum());
    let last = calls.checked_sub(1);
    let nth = last.map_or(0, |last| ahead(&lines, class, &tenant, last + waiting) + 1 + backing_off);
    let finish = |forecast: &Forecast| match nth {
        // All of it is known.
        0 => Some(foresight.time(foresight.now)),
        _ if foresight.footing.is_at_rest => None,
        _ => forecast.drain(nth).answered_at(nth).map(|at| foresight.time(at)),
    };
    let quota = |bottleneck| {
        let quota = match bottleneck {
            Bottleneck::Own(index) => services.quota_at(service, &Scope::Ip, index),
            Bottleneck::Wide(rule, index) => {
                let scope = foresight.forecast.scope(rule)?;
                services.quota_at(service, scope, index)
            }
        };
        quota.as_ref().map(rule)
    };
    let with = |addresses: &u32| MorePlan {
        addresses: *addresses,
        finish_estimate: finish(&foresight.forecast.with_more(*addresses as usize)),
    };
    ServicePlan {
        service: services.name(service).to_owned(),
        calls,
        cached: asked.cached,
        ahead: nth - calls,
        egresses: foresight.forecast.egresses() as u64,
        paused: foresight.footing.is_at_rest,
        bottleneck: last.and_then(|_| foresight.forecast.bottleneck(nth)).and_then(quota),
        finish_estimate: finish(&foresight.forecast),
        with_more: more.iter().map(with).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_more_addresses_are_few_and_small() {
        assert!(more(None).unwrap().is_empty());
        assert_eq!(more(Some("1, 2,1000")).unwrap(), [1, 2, 1_000]);
        for wrong in ["", "0", "1001", "1,,2", "many", "1,2,3,4,5,6,7,8,9"] {
            assert!(more(Some(wrong)).unwrap_err().0.detail.contains("such as 1,2,4"), "{wrong}");
        }
    }
}
