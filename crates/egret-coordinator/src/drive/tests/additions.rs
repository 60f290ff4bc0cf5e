//! Services that others add while work goes on.

use super::*;
use egret_lookup::known::Table;

#[tokio::test]
async fn a_service_that_was_added_but_not_taken_in_stops_nothing() {
    let config = Config::parse(SERVICE, "egret.toml").unwrap();
    let services = Services::new(config.services, Some(Arc::clone(Table::embedded()))).unwrap();
    let mut stage = Stage::of(services, Memory::default());
    // Another thread plans a lookup, and the drive is in the middle of something else.
    let added = stage.drive.services.need("whois.iana.org").unwrap();
    let (welcomed, mut frames) = stage.join(1, 1, ADDRESS, None);
    assert_eq!((welcomed.services, stage.drive.service_ids().collect::<Vec<_>>()), (1, vec![W]));
    stage.drive.measure(stage.now);
    stage.drive.detour_all(stage.now);
    assert!(stage.drive.checkpoint(stage.now).await.is_some());
    assert_eq!(stage.drive.find_service("whois.iana.org"), None);
    // The next message takes it in, and the agent is told of it alone.
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    assert_eq!(stage.drive.find_service("whois.iana.org"), Some(added));
    assert!(stage.drive.service_ids().eq([W, added]));
    let Ok(Outgoing::Added(told)) = frames.try_recv() else { panic!("nothing was added") };
    assert_eq!(told.iter().map(|policy| &*policy.id).collect::<Vec<_>>(), ["whois.iana.org"]);
}
