//! `ingress`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Pem;
use crate::config::document::spanned::At;
use crate::config::quantity::{Period, Size};

/// Where webhooks come in, and what the gateway puts up with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Ingress {
    /// Address and port of the socket. A reload cannot change it.
    #[schemars(extend("default" = "0.0.0.0:8080"))]
    pub(in crate::config) listen: Option<At<String>>,
    /// Addresses or networks of proxies in front of the gateway whose Forwarded, X-Forwarded-For or PROXY
    /// header counts.
    /// Nobody's by default: the client is the socket's peer.
    #[schemars(extend("default" = []))]
    pub(in crate::config) trusted_proxies: Option<Vec<At<String>>>,
    /// `v1`, `v2`: each connection begins with a header of the PROXY protocol of this version, and only connections from
    /// `trusted_proxies` are taken. The address in the header takes the place of the socket's peer.
    #[schemars(extend("default" = "off"))]
    pub(in crate::config) proxy_protocol: Option<At<ProxyProtocol>>,
    /// Makes the port speak TLS, and HTTP/2 where a client wants it. Plain HTTP without.
    pub(in crate::config) tls: Option<At<Tls>>,
    /// Connections that are open at a time; one more is closed at once.
    #[schemars(extend("default" = 10000), range(min = 1))]
    pub(in crate::config) connections_max: Option<At<u32>>,
    /// Request line and headers together; more is answered with 431.
    #[schemars(extend("default" = "64KiB"))]
    pub(in crate::config) headers_bytes_max: Option<At<Size>>,
    /// A body, where source and scheme do not say otherwise; more is answered with 413.
    #[schemars(extend("default" = "1MiB"))]
    pub(in crate::config) body_bytes_max: Option<At<Size>>,
    /// All bodies that are held in memory at a time; more is answered with 503. By default an eighth of what the control
    /// group or the machine has, at least 32MiB, at most 256MiB.
    #[schemars(extend("default" = "256MiB"))]
    pub(in crate::config) body_memory_max: Option<At<Size>>,
    /// All bodies that lie in files at a time: those above 1 MiB of proxy-mode sources whose guards must see them before the
    /// app does; more is answered with 503.
    #[schemars(extend("default" = "1GiB"))]
    pub(in crate::config) body_spool_max: Option<At<Size>>,
    /// Until the headers are here, also before their first byte; then 408.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) header_timeout: Option<At<Period>>,
    /// A whole request with its body and its answer; then 408 or 503. Senders give up after 10 s or so.
    #[schemars(extend("default" = "8s"))]
    pub(in crate::config) request_timeout: Option<At<Period>>,
    /// What requests in flight get to finish at shutdown; then they are cut.
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) drain_timeout: Option<At<Period>>,
}

/// What a connection begins with, besides HTTP.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ProxyProtocol {
    Off,
    V1,
    V2,
}

/// Certificates: `cert` with `key`, and others by the name that a client asks for (`certificates`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// The certificate with its chain, the own one first.
    pub(in crate::config) cert: Option<At<Pem>>,
    /// Its private key.
    pub(in crate::config) key: Option<At<Pem>>,
    /// More of them, chosen by the name that the client asks for (SNI). Who asks for none of them is shown `cert`; without
    /// it, the first of these.
    pub(in crate::config) certificates: Option<Vec<At<Certificate>>>,
    /// Certificates of authorities: clients must show a certificate that one of them has issued.
    pub(in crate::config) client_ca: Option<At<Pem>>,
}

/// One of several certificates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    /// The certificate with its chain, the own one first.
    pub(in crate::config) cert: At<Pem>,
    /// Its private key.
    pub(in crate::config) key: At<Pem>,
}
