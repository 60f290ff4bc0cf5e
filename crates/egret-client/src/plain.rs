//! HTTP clients that speak plain HTTP, whatever else the program has built in.
//!
//! A program has one reqwest, with the features that any part of it asks for. With TLS among them a client
//! that says nothing about it looks for a provider set for the whole process and for a store of certificates
//! on the host, and fails without. Coordinators are reached by `http://` only, so here TLS is settled instead:
//! it trusts nobody.

use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::{ClientConfig, RootCertStore};

/// A builder of clients for `http://` only; they use no proxies named by the environment.
pub fn plain_http() -> ClientBuilder {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.expect("ring has the cipher suites of TLS 1.2 and 1.3");
    let nobody = versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(nobody)
}
