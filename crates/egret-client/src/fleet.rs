//! Quota, agents, egresses, services, join tokens, health; bringing services or everything to a halt.

use egret_wire::api::{
    AgentView, EgressView, Health, Page, QuotaView, ServiceView, TokenListed, TokenRequest, TokenView,
    WhyRequest,
};
use reqwest::{Method, StatusCode};

use crate::client::{ANSWER_WITHIN, Client};
use crate::error::ClientError;

impl Client {
    /// Reads what is left of every quota; with `all`, for egresses that were never used as well.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn quota(&self, all: bool) -> Result<QuotaView, ClientError> {
        self.read(self.get(&["v1", "quota"]).query(&everything(all))).await
    }

    /// The same for one service.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such service.
    pub async fn quota_of(&self, service: &str, all: bool) -> Result<QuotaView, ClientError> {
        self.read(self.get(&["v1", "quota", service]).query(&everything(all))).await
    }

    /// Lists the agents.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn agents(&self) -> Result<Page<AgentView>, ClientError> {
        self.read(self.get(&["v1", "agents"])).await
    }

    /// Grants an agent nothing more until it is undrained.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such agent.
    pub async fn drain_agent(&self, id: &str) -> Result<AgentView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "agents", id, "drain"])).await
    }

    /// Grants it work again.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such agent.
    pub async fn undrain_agent(&self, id: &str) -> Result<AgentView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "agents", id, "undrain"])).await
    }

    /// Lists the egresses.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn egresses(&self) -> Result<Page<EgressView>, ClientError> {
        self.read(self.get(&["v1", "egresses"])).await
    }

    /// Lists the services.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn services(&self) -> Result<Page<ServiceView>, ClientError> {
        self.read(self.get(&["v1", "services"])).await
    }

    /// Stops grants of a service until it is resumed, and says why.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such service.
    pub async fn pause_service(&self, id: &str, why: Option<&str>) -> Result<ServiceView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "services", id, "pause"]).json(&because(why))).await
    }

    /// Starts them again.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such service.
    pub async fn resume_service(&self, id: &str) -> Result<ServiceView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "services", id, "resume"])).await
    }

    /// Stops all grants until [`Client::start`], and says why.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn stop(&self, why: Option<&str>) -> Result<(), ClientError> {
        let request = self.request(Method::POST, &["v1", "stop"]).json(&because(why));
        self.send(request.timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// Starts them again.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn start(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::POST, &["v1", "start"]).timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// Makes a join token for agents; its secret is shown this once.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn create_token(&self, token: &TokenRequest) -> Result<TokenView, ClientError> {
        self.read(self.request(Method::POST, &["v1", "join-tokens"]).json(token)).await
    }

    /// Lists the join tokens.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn tokens(&self) -> Result<Page<TokenListed>, ClientError> {
        self.read(self.get(&["v1", "join-tokens"])).await
    }

    /// Takes a join token back.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such token.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["v1", "join-tokens", id]).timeout(ANSWER_WITHIN);
        self.send(request).await.map(drop)
    }

    /// Takes an agent's place in the fleet back.
    ///
    /// # Errors
    /// As [`ClientError`] says; a problem `not_found` if there is no such agent.
    pub async fn revoke_agent(&self, id: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &["v1", "agents", id]).timeout(ANSWER_WITHIN);
        self.send(request).await.map(drop)
    }

    /// Asks whether the coordinator lives.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.read(self.get(&["healthz"])).await
    }

    /// Asks whether it may take work; if not, `missing` says why.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        let answer = self.send_any(self.get(&["readyz"]).timeout(ANSWER_WITHIN)).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => self.document(answer).await,
            _ => Err(self.refusal(answer).await),
        }
    }
}

fn because(why: Option<&str>) -> WhyRequest {
    WhyRequest { why: why.map(str::to_owned) }
}

fn everything(all: bool) -> &'static [(&'static str, &'static str)] {
    if all { &[("all", "true")] } else { &[] }
}

#[cfg(test)]
mod tests {
    use crate::stage::{Stage, json};

    #[tokio::test]
    async fn a_coordinator_that_is_not_ready_says_what_is_missing() {
        let stage = Stage::playing(vec![json(503, r#"{"status":"not_ready","missing":["store"]}"#)]).await;
        assert_eq!(stage.client().ready().await.unwrap().missing, ["store"]);
    }
}
