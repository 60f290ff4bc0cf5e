//! One simulation from its seed to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use egret_core::quota::Counting;
use egret_store::{JobFilter, SqliteStore, Store};
use egret_tests::rule::Rule;
use turmoil::{Builder, Sim};

use crate::conn::bury;
use crate::faults::{Act, USUAL};
use crate::hosts::{AgentHost, agent, coordinator};
use crate::referee::Referee;
use crate::scene::{Given, Scene, Shared, Who, epoch, look};
use crate::{caller, faults};

/// What time advances by, and how exactly frames are late.
const TICK: Duration = Duration::from_millis(10);
/// Until then things go wrong.
pub(crate) const FAULTS: Duration = Duration::from_secs(60);
/// By then all has to be over: a session that is dead is noticed after 60 s, a service that was down is tried after 120 s.
const QUIET: Duration = Duration::from_secs(400);
const AGENTS: usize = 3;

/// How a story ended.
pub(crate) struct Ending {
    pub(crate) grants: Vec<Given>,
    pub(crate) calls: usize,
    pub(crate) jobs: usize,
    pub(crate) faults: usize,
    pub(crate) took: Duration,
    wrong: Vec<String>,
}

impl Ending {
    /// What must not have been; `None`: nothing.
    pub(crate) fn wrong(&self, seed: u64) -> Option<String> {
        (!self.wrong.is_empty()).then(|| format!("seed {seed}:\n  {}", self.wrong.join("\n  ")))
    }
}

/// The hosts of a simulation, and what they share.
pub(crate) struct Stage<'a> {
    pub(crate) sim: Sim<'a>,
    pub(crate) scene: Shared,
    pub(crate) referee: Referee,
    _dir: tempfile::TempDir,
}

/// Memory, if the host has such a folder: nothing of this has to outlive the process.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

impl Stage<'_> {
    /// A coordinator, its twin, a remote that keeps these rules, and agents.
    pub(crate) fn new(seed: u64, rules: Vec<Rule>, agents: usize) -> Self {
        let dir = folder();
        // All that is random in the product comes from this thread's generator, or is but a name.
        fastrand::seed(seed);
        let mut sim = Builder::new()
            .epoch(epoch())
            .simulation_duration(Duration::from_secs(3_600))
            .tick_duration(TICK)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(USUAL))
            .tcp_capacity(4_096)
            .rng_seed(seed)
            .build();
        let scene = Scene {
            dir: dir.path().to_owned(),
            coordinator: sim.lookup("coordinator"),
            twin: sim.lookup("twin"),
            remote: sim.lookup("remote"),
            agents: (0..agents).map(|n| sim.lookup(format!("agent-{n}"))).collect(),
            rules,
            is_shared: false,
            token: None,
            diverted: BTreeSet::new(),
            one_doubled_in: 0,
            one_last_in: 0,
            slow: 0,
            grants: Vec::new(),
            answered: BTreeSet::new(),
            safe: BTreeSet::new(),
            accepted: BTreeSet::new(),
            ended: BTreeMap::new(),
            sessions: BTreeMap::new(),
            works_in: BTreeMap::new(),
            given: BTreeMap::new(),
            calls: 0,
            used: None,
            connections: 0,
            is_dying: false,
            graves: BTreeMap::new(),
            wrong: Vec::new(),
            is_done: false,
        };
        let scene: Shared = Arc::new(Mutex::new(scene));
        for (name, who) in [("coordinator", Who::Original), ("twin", Who::Twin)] {
            let scene = Arc::clone(&scene);
            sim.host(name, move || {
                bury(&scene);
                coordinator(Arc::clone(&scene), who)
            });
        }
        let referee = Referee::new(&scene);
        let (remote, shared) = (referee.clone(), Arc::clone(&scene));
        sim.host("remote", move || {
            bury(&shared);
            remote.clone().serve()
        });
        for n in 0..agents {
            let (address, scene) = (look(&scene).agents[n], Arc::clone(&scene));
            let host = AgentHost::new(address, &scene);
            sim.host(format!("agent-{n}"), move || {
                bury(&scene);
                agent(Arc::clone(&scene), host)
            });
        }
        Self { sim, scene, referee, _dir: dir }
    }

    /// Goes on until then.
    pub(crate) fn run_until(&mut self, until: Duration) {
        while self.sim.elapsed() < until && !look(&self.scene).is_done {
            if let Err(error) = self.sim.step() {
                look(&self.scene).object(format!("a host gave up: {error}"));
                return;
            }
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        tracing::info!("{:?}: {act:?}", self.sim.elapsed());
        let both = ["coordinator", "twin"];
        let name = |agent: usize| format!("agent-{agent}");
        match act {
            Act::Cut(agent) => both.iter().for_each(|to| self.sim.partition(name(agent), *to)),
            Act::Mute(agent) => both.iter().for_each(|to| self.sim.partition_oneway(name(agent), *to)),
            Act::Deafen(agent) => both.iter().for_each(|to| self.sim.partition_oneway(*to, name(agent))),
            Act::Mend(agent) => both.iter().for_each(|to| self.sim.repair(name(agent), *to)),
            Act::Hold(agent) => both.iter().for_each(|to| self.sim.hold(name(agent), *to)),
            Act::Release(agent) => both.iter().for_each(|to| self.sim.release(name(agent), *to)),
            Act::Slow(agent, millis) => {
                let longest = Duration::from_millis(millis);
                both.iter().for_each(|to| self.sim.set_link_max_message_latency(name(agent), *to, longest));
            }
            Act::KillAgent(agent) => self.kill(&name(agent)),
            Act::LoseJournal(agent) => {
                let path = {
                    let scene = look(&self.scene);
                    scene.state(scene.agents[agent]).join("journal")
                };
                if !self.sim.is_host_running(name(agent)) {
                    // It may not have got as far as having one.
                    let _ = std::fs::remove_file(path);
                }
            }
            Act::StartAgent(agent) => self.start(&name(agent)),
            Act::KillCoordinator => self.kill("coordinator"),
            Act::StartCoordinator => self.start("coordinator"),
            Act::KillRemote => self.kill("remote"),
            Act::StartRemote => self.start("remote"),
            Act::Copy => {
                let scene = look(&self.scene);
                // A twin that is at work keeps what it has.
                if scene.diverted.is_empty() {
                    copy(&scene.data(Who::Original), &scene.data(Who::Twin));
                }
            }
            Act::Divert(agent) => {
                let is_first = {
                    let mut scene = look(&self.scene);
                    let address = scene.agents[agent];
                    scene.diverted.insert(address);
                    scene.diverted.len() == 1
                };
                if is_first {
                    self.kill("twin");
                    self.start("twin");
                }
                // As if the address of the coordinator led elsewhere: what is open breaks off.
                self.sim.partition(name(agent), "coordinator");
            }
            Act::Return(agent) => {
                let is_last = {
                    let mut scene = look(&self.scene);
                    let address = scene.agents[agent];
                    scene.diverted.remove(&address);
                    scene.diverted.is_empty()
                };
                if is_last {
                    self.kill("twin");
                }
                self.sim.repair(name(agent), "coordinator");
            }
        }
    }

    fn kill(&mut self, name: &str) {
        look(&self.scene).is_dying = true;
        self.sim.crash(name);
        look(&self.scene).is_dying = false;
        // What it would start with closes what it has left open.
        self.sim.bounce(name);
        self.sim.crash(name);
    }

    fn start(&mut self, name: &str) {
        if !self.sim.is_host_running(name) {
            self.sim.bounce(name);
        }
    }

    /// Mends all that is wrong.
    fn heal(&mut self, agents: usize) {
        for agent in 0..agents {
            for act in [
                Act::Return(agent),
                Act::Release(agent),
                Act::Mend(agent),
                Act::Slow(agent, USUAL),
                Act::StartAgent(agent),
            ] {
                self.act(act);
            }
        }
        self.act(Act::StartCoordinator);
        self.act(Act::StartRemote);
    }
}

/// What a copy of the disk would hold at this moment.
fn copy(from: &Path, to: &Path) {
    // The first one, or none at all.
    let _ = std::fs::remove_dir_all(to);
    let Ok(files) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap();
    for file in files {
        let (path, name) = file.map(|file| (file.path(), file.file_name())).unwrap();
        let is_of_process = path.extension().is_some_and(|ext| ext == "lock" || ext == "db-shm");
        if !is_of_process {
            std::fs::copy(path, to.join(name)).unwrap();
        }
    }
}

/// Plays the story of a seed.
pub(crate) fn play(seed: u64) -> Ending {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut jobs = rng.usize(40..100);
    let mut stage = Stage::new(seed, rules(&mut rng), AGENTS);
    let mut acts = faults::plan(&mut rng, AGENTS, FAULTS);
    let is_shared = rng.u8(..4) == 0;
    if is_shared {
        // What several agents share has one coordinator.
        jobs /= AGENTS;
        acts.retain(|(_, act)| !matches!(act, Act::Copy | Act::Divert(_) | Act::Return(_)));
    }
    {
        let mut scene = look(&stage.scene);
        scene.one_doubled_in = if rng.bool() { 20 } else { 0 };
        scene.one_last_in = if rng.bool() { 50 } else { 0 };
        scene.is_shared = is_shared;
        scene.slow = if rng.bool() { 3 } else { 0 };
    }
    let scene = Arc::clone(&stage.scene);
    stage.sim.host("caller", move || caller::call(Arc::clone(&scene), jobs, FAULTS));
    let faults = acts.len();
    for (at, act) in acts {
        stage.run_until(at);
        stage.act(act);
    }
    stage.run_until(FAULTS);
    stage.heal(AGENTS);
    stage.run_until(FAULTS + QUIET);
    end(stage, jobs, faults)
}

/// Looks at what is left when all is over.
fn end(stage: Stage<'_>, jobs: usize, faults: usize) -> Ending {
    let Stage { sim, scene, referee, _dir } = stage;
    let took = sim.elapsed();
    drop((sim, referee));
    let mut scene = look(&scene);
    let mut wrong = std::mem::take(&mut scene.wrong);
    if !scene.is_done {
        let open = scene.accepted.iter().filter(|job| !scene.ended.contains_key(job)).count();
        wrong.push(format!(
            "{open} of {} accepted jobs have not ended {QUIET:?} after the last fault",
            scene.accepted.len()
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = runtime.block_on(async {
        let store = SqliteStore::open(&scene.data(Who::Original)).unwrap();
        store.jobs(JobFilter::default(), 10_000).await.unwrap()
    });
    if scene.is_done && kept.len() != jobs {
        wrong.push(format!("{} jobs are on the disk, {jobs} were submitted", kept.len()));
    }
    for job in &scene.accepted {
        let is_ended = kept.iter().any(|kept| kept.job.id == *job && kept.outcome.is_some());
        if !is_ended && scene.ended.contains_key(job) {
            wrong.push(format!("{job} had ended, and on the disk it has not"));
        }
        if !is_ended && scene.safe.contains(job) {
            wrong.push(format!("an answer to {job} was acknowledged, and is not on the disk"));
        }
    }
    Ending { grants: std::mem::take(&mut scene.grants), calls: scene.calls, jobs, faults, took, wrong }
}

/// Services, each with its own way to count.
fn rules(rng: &mut fastrand::Rng) -> Vec<Rule> {
    let mut countings = [Counting::Sliding, Counting::Fixed, Counting::TokenBucket, Counting::TwoBucket];
    rng.shuffle(&mut countings);
    let count = rng.usize(1..=3);
    let rule = |counting: &Counting| match rng.u8(..3) {
        0 => Rule::new(*counting, &[(rng.u32(1..4), rng.u64(2..6))]),
        1 => Rule::new(*counting, &[(rng.u32(3..6), rng.u64(4..9)), (rng.u32(12..24), 60)]),
        _ => Rule::new(*counting, &[(rng.u32(6..12), rng.u64(10..25))]),
    };
    countings[..count].iter().map(rule).collect()
}
