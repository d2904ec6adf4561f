//! Other people's signers and other people's JSON against the guards: nothing here was made by us.
//!
//! The packages come from `tests/install` and are never skipped where they are missing.

mod certificates;
mod handshakes;
mod json_test_suite;
mod octokit;
mod ours;
mod providers;
mod standard_webhooks;
mod tls_profile;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::domain::{Clock, Facts, Refused, Secret, Timestamp};
use hookward::guard::signature::{self, Scheme, Signing, Verifier};
use hookward::guard::{
    Buffered, Envelope, EnvelopeLayer, ReplayWindow, ReplayWindowLayer, Signature, SignatureHead, SignatureHeadLayer,
    SignatureLayer, envelope, replay_window,
};
use http::{HeaderMap, Method, Request, Response, Uri};
use tower::{Layer, ServiceExt, service_fn};

/// The folder of the packages.
pub(crate) fn packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages");
    assert!(folder.join(".installed").exists(), "{} is not there: run tests/install", folder.display());
    folder
}

/// What a script prints; it gets `input` on its standard input.
fn run(mut script: Command, input: &str) -> String {
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the interpreter starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the script reads");
    let output = child.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "the script failed: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Runs JavaScript that may `require` the packages.
pub(crate) fn node(script: &str, input: &str) -> String {
    let mut node = Command::new("node");
    node.args(["-e", script]).current_dir(packages()).env("NODE_PATH", packages().join("node_modules"));
    run(node, input)
}

/// Runs Python that may `import` the packages.
pub(crate) fn python(script: &str, input: &str) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", script]).env("PYTHONPATH", packages().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    run(python, input)
}

fn decode(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("base64")
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The guards of a source as tower layers, outermost first, with an app behind that tells what was found.
struct Stack {
    verifier: Arc<Verifier>,
    scheme: Scheme,
    clock: Clock,
}

impl Stack {
    fn new(scheme: Scheme, secret: &str, now: Timestamp) -> Self {
        let config = signature::Config { scheme: scheme.clone(), secrets: vec![Secret::new(secret)], public_url: None };
        let verifier = Arc::new(Verifier::new(&config).expect("a verifier"));
        Self { verifier, scheme, clock: Clock::manual(now) }
    }

    /// The signature headers that we make ourselves.
    fn sign(&self, id: &str, body: &[u8]) -> Vec<(String, String)> {
        let (method, uri) = (Method::POST, Uri::from_static("/"));
        let signing = Signing {
            body,
            id: Some(id),
            signed_at: self.clock.wall(),
            method: &method,
            uri: &uri,
            headers: &HeaderMap::new(),
        };
        let headers = self.verifier.sign(&signing, 0).expect("signed");
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect()
    }

    /// The facts of a request that gets through, or the status and the code of the refusal.
    async fn answer(&self, headers: &[(String, String)], body: &[u8]) -> Result<Facts, (u16, &'static str)> {
        let app = service_fn(|request: Request<Buffered>| async move {
            let mut response = Response::new(Bytes::new());
            response.extensions_mut().insert(request.extensions().get::<Facts>().cloned().unwrap_or_default());
            Ok::<_, std::convert::Infallible>(response)
        });
        let window = ReplayWindow::new(replay_window::Config::default(), self.clock.clone());
        let stack = (
            SignatureHeadLayer::new(SignatureHead(Arc::clone(&self.verifier))),
            SignatureLayer::new(Signature(Arc::clone(&self.verifier))),
            ReplayWindowLayer::new(window),
            EnvelopeLayer::new(Envelope::new(envelope::Config::of(&self.scheme))),
        );
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Buffered::from(Bytes::copy_from_slice(body))).expect("a request");
        let mut response = stack.layer(app).oneshot(request).await.expect("infallible");
        match response.extensions().get::<Refused>() {
            Some(refused) => Err((response.status().as_u16(), refused.rejection.reason.code())),
            None => Ok(response.extensions_mut().remove().expect("facts")),
        }
    }
}
