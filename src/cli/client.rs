//! A running gateway's admin port, as the verbs that ask it see it.
//!
//! The token comes from the environment or a file, never from an argument: arguments show in `ps`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::Failure;

/// Where the gateway is and who asks.
#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// The address of the gateway's admin port.
    #[arg(long, value_name = "URL", env = "HOOKWARD_ADMIN", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// A file with the token; else the environment's HOOKWARD_ADMIN_TOKEN is taken, if set.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Whose webhooks and events, where the token is bound to no project; default: `default`.
    #[arg(long, value_name = "NAME", env = "HOOKWARD_PROJECT")]
    project: Option<String>,
}

/// Asks one gateway.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    project: Option<String>,
}

/// No answer of the admin port takes longer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// After so long a stream is opened anew.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// The longest token file that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Runs what a verb does on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Text as one segment of a path, whatever it holds.
pub(super) fn segment(text: &str) -> String {
    let mut safe = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}

// === impl Connection ===

impl Connection {
    /// A client; nothing is connected yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let base = Url::parse(&self.admin).ok().filter(|url| url.scheme() == "http" && url.has_host());
        let Some(base) = base else {
            let hint = "expected something like http://127.0.0.1:8081";
            return Err(Failure::Usage(format!("--admin {:?} is not an address of HTTP: {hint}", self.admin)));
        };
        // No proxy of the environment gets to see the token, and no redirect carries it elsewhere.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(ANSWER_WAIT_MAX)
            .build()
            .map_err(|error| Failure::Failed(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(Client { http, base, token: self.token()?, project: self.project.clone() })
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else {
            #[allow(clippy::disallowed_methods, reason = "not the configuration: the credential of this one call")]
            return Ok(std::env::var("HOOKWARD_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Failed(format!("the token file {} cannot be read: {error}", path.display())))?;
        let token = text.trim_end_matches(['\r', '\n']);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Failure::Failed(format!("the token file {} does not hold a token", path.display())));
        }
        Ok(Some(token.to_owned()))
    }
}

// === impl Client ===

impl Client {
    /// The answer of a GET as JSON.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        self.json(&self.ask(Method::GET, path, query).await?)
    }

    /// The answer of a POST as JSON.
    pub(super) async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.json(&self.ask(Method::POST, path, &[]).await?)
    }

    /// The answer to some JSON.
    pub(super) async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, Failure> {
        let (status, body) = self.exchange(method, path, &[], Some(body)).await?;
        if (200..300).contains(&status) { self.json(&body) } else { Err(self.refused(status, &body)) }
    }

    /// The answer of a GET, byte for byte.
    pub(super) async fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.ask(Method::GET, path, &[]).await
    }

    /// The answer of a GET that has no end.
    pub(super) async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<reqwest::Response, Failure> {
        let request = self.request(Method::GET, path, query).timeout(STREAM_MAX);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(self.refused(status, &body))
    }

    /// Status and body of `/readyz`, whatever they are.
    pub(super) async fn readyz(&self) -> Result<(u16, Vec<u8>), Failure> {
        self.exchange(Method::GET, "/readyz", &[], None).await
    }

    async fn ask(&self, method: Method, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.exchange(method, path, query, None).await?;
        if (200..300).contains(&status) { Ok(body) } else { Err(self.refused(status, &body)) }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<(u16, Vec<u8>), Failure> {
        let mut request = self.request(method, path, query);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok((status, body.to_vec()))
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(None);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(project) = &self.project {
            request = request.header("hookward-project", project);
        }
        request
    }

    fn json(&self, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body).map_err(|_not_json| self.not_a_gateway("its answer is not JSON"))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let at = &self.base;
        Failure::Failed(if error.is_connect() {
            format!("no gateway answers at {at}: is `hookward serve` running? (--admin or HOOKWARD_ADMIN say where)")
        } else if error.is_timeout() {
            format!("the gateway at {at} did not answer within {} s", ANSWER_WAIT_MAX.as_secs())
        } else {
            format!("the gateway at {at} did not answer properly: {}", error.to_string().escape_debug())
        })
    }

    fn refused(&self, status: u16, body: &[u8]) -> Failure {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(detail) = problem.get("detail").and_then(Value::as_str) else {
            return self.not_a_gateway(&format!("it answers {status}"));
        };
        let hint = match (status, &self.token) {
            (401, None) => "; set HOOKWARD_ADMIN_TOKEN or give --token-file",
            (401, Some(_)) => "; is it the token of this gateway?",
            _ => "",
        };
        Failure::Failed(format!("the gateway says {status}: {}{hint}", crate::telemetry::escape::escaped(detail)))
    }

    fn not_a_gateway(&self, why: &str) -> Failure {
        Failure::Failed(format!("what answers at {} is no admin port of a gateway: {why}", self.base))
    }
}
