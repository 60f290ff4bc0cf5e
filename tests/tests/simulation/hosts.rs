//! Coordinators and agents on hosts that are not there.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use egret_agent::{AgentError, Dialling, Options, Simulated, Wire};
use egret_coordinator::config::Config;
use egret_coordinator::{Coordinator, Listener, Surroundings};
use egret_store::SqliteStore;
use egret_tests::service;
use egret_wire::api::TokenRequest;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

use crate::conn::Conn;
use crate::scene::{FIRST_SERVICE, KEY, PORT, Scene, Shared, Who, look, now, wall_ms};
use crate::tap::Tap;

/// How long a disk takes: mostly a moment, sometimes half a second.
fn disk() -> Duration {
    let longest = if fastrand::u8(..100) == 0 { 500 } else { 20 };
    Duration::from_millis(fastrand::u64(..longest))
}

/// A port of a simulated host.
struct Port {
    inner: TcpListener,
    scene: Shared,
    who: Who,
}

impl Listener for Port {
    type Stream = Tap;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    async fn accept(&self) -> io::Result<(Tap, SocketAddr)> {
        let (stream, peer) = self.inner.accept().await?;
        let conn = Conn::new(stream, &self.scene);
        Ok((Tap::new(conn, Arc::clone(&self.scene), self.who, peer.ip()), peer))
    }

    async fn first(_: &mut Tap) -> io::Result<Option<u8>> {
        // Nobody here speaks TLS.
        Ok(None)
    }
}

/// A coordinator, until its host crashes. A twin without data is not there.
pub(crate) async fn coordinator(scene: Shared, who: Who) -> turmoil::Result {
    let data = look(&scene).data(who);
    if who == Who::Twin && !data.exists() {
        return pending().await;
    }
    let config =
        Config::parse(&config(&look(&scene), who), "simulated").map_err(|error| error.to_string())?;
    let inner = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let listener = Port { inner, scene: Arc::clone(&scene), who };
    let store = SqliteStore::open_inline(&data, disk)?;
    let coordinator = Coordinator::start_in(Surroundings { listener, store, wall_ms }, config).await?;
    if look(&scene).token.is_none() {
        let request = TokenRequest { uses: 64, ..TokenRequest::default() };
        let token = coordinator.create_token(request).await.map_err(|problem| problem.detail)?;
        look(&scene).token = Some(token.token);
    }
    pending().await
}

fn config(scene: &Scene, who: Who) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, KEY.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!(
        "listen = \"0.0.0.0:{PORT}\"\ninsecure = true\ndata_dir = {:?}\n\
         [[api_key]]\nname = \"caller\"\nhash = \"sha256:{hash}\"\nrole = \"admin\"\n",
        scene.data(who)
    );
    for (n, rule) in scene.rules.iter().enumerate() {
        let address = SocketAddr::new(scene.remote, FIRST_SERVICE + n as u16);
        let scope = if scene.is_shared { ", scope = \"fleet\" }" } else { " }" };
        let quotas = rule.config().replace(" }", scope);
        let rest = format!("{quotas}\ntimeout = \"3s\"\nlinger = \"1s\"\ncache_for = \"0s\"");
        text += &service(&format!("w{n}"), address, &rest);
    }
    text
}

/// The host of an agent. It is never dropped, so it keeps nothing alive.
#[derive(Debug)]
pub(crate) struct AgentHost {
    address: IpAddr,
    scene: Weak<Mutex<Scene>>,
}

impl AgentHost {
    pub(crate) fn new(address: IpAddr, scene: &Shared) -> &'static Self {
        Box::leak(Box::new(Self { address, scene: Arc::downgrade(scene) }))
    }
}

impl Simulated for AgentHost {
    fn dial(&self, _: Option<IpAddr>, mut to: SocketAddr) -> Dialling {
        let scene = self.scene.upgrade();
        if let Some(scene) = &scene {
            let scene = look(scene);
            if to.ip() == scene.coordinator && scene.diverted.contains(&self.address) {
                to.set_ip(scene.twin);
            }
        }
        Box::pin(async move {
            let scene = scene.ok_or(io::ErrorKind::HostUnreachable)?;
            let stream = TcpStream::connect(to).await?;
            Ok(Box::new(Conn::new(stream, &scene)) as Box<dyn Wire>)
        })
    }

    fn since_boot(&self) -> u64 {
        now().as_micros() as u64
    }

    fn wall_ms(&self) -> u64 {
        wall_ms()
    }

    fn boot_name(&self) -> String {
        "the only boot".to_owned()
    }
}

/// An agent, until its host crashes; one that gives up is started again, as by a supervisor.
pub(crate) async fn agent(scene: Shared, host: &'static AgentHost) -> turmoil::Result {
    loop {
        let token = look(&scene).token.clone();
        if token.is_some() {
            let options = options(&look(&scene), host.address, token);
            match egret_agent::simulate(host, options, pending()).await {
                Err(AgentError::Unreachable { .. }) => {}
                Err(error) => look(&scene).object(format!("the agent at {} gave up: {error}", host.address)),
                Ok(()) => look(&scene).object(format!("the agent at {} stopped", host.address)),
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn options(scene: &Scene, address: IpAddr, token: Option<String>) -> Options {
    Options {
        coordinator: format!("http://{}:{PORT}", scene.coordinator),
        egresses: vec![address.into()],
        excluded: Vec::new(),
        name: address.to_string(),
        state_dir: scene.state(address),
        token,
        allow_private: vec!["192.168.0.0/16".parse().unwrap()],
        insecure: true,
        channel_binding: true,
        allow_service: Vec::new(),
        drain_timeout: Duration::from_secs(30),
        is_supervised: false,
    }
}
