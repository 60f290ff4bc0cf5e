//! HTTP clients that trust whom they are told to trust, whatever else the program has built in.
//!
//! A program has one reqwest, with the features that any part of it asks for. With TLS among them a client
//! that says nothing about it looks for a provider set for the whole process and for a store of certificates
//! on the host, and fails without. So TLS is always settled here.

use egret_tls::{Trust, client};
use reqwest::ClientBuilder;

/// A builder of clients for `http://` only; they use no proxies named by the environment.
pub fn plain_http() -> ClientBuilder {
    trusting(&Trust::Nobody)
}

/// The same for `https://` too, to those who are trusted.
pub(crate) fn trusting(trust: &Trust) -> ClientBuilder {
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(client(trust))
}
