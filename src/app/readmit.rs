//! What was refused is let in after all, by the guards of today: a secret that was wrong has been mended.
//!
//! The same guards behind the body ask the same questions, by the time at which the request came, and what they let
//! through is kept as it would have been. Those before the body (addresses, rates) are not asked: a person was.

use std::convert::Infallible;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::diagnosis::headers;
use super::gateway::Gateway;
use super::{behind_body, handshakes, keeping};
use crate::api::{MASKED, NotReadmitted, Readmitted, Readmitter};
use crate::config::{self, Checked};
use crate::domain::{Clock, Facts, Refused, Routes};
use crate::guard::GuardLayer;
use crate::guard::body::Buffered;
use crate::guard::handshake::Handshaken;
use crate::guard::signature::Verifier;
use crate::guard::signature::odd::{Certificates, FetchingLayer};
use crate::intake::{Keep, Kept};
use crate::store::{RejectionRow, Store};
use crate::telemetry::SourceMetrics;

/// What the detail of a rejection begins with that was let through.
pub(super) const LET_THROUGH: &str = "let through (enforce: report)";

/// Stands below the headers of a rejection of which not all were kept.
pub(super) const CUT: &str = "(cut)";

/// So long is a rejection known that was readmitted, where its source does not deduplicate.
const KNOWN_FOR: Duration = Duration::from_secs(96 * 3600);

/// The way in of one source.
struct Way<S> {
    source: config::Source,
    verifier: Arc<Verifier>,
    certificates: Arc<Certificates>,
    metrics: Arc<SourceMetrics>,
    dedup_key: [u8; 16],
    /// `None`: the source keeps nothing, it passes on.
    keep: Option<Arc<Keep<S>>>,
}

/// Keeps what the guards let through; where nothing tells copies of it, the mark tells that it was let in already.
struct Marked<S> {
    keep: Arc<Keep<S>>,
    mark: [u8; 16],
}

/// Lets in by this configuration.
pub(super) fn readmitter<S: Store>(gateway: &Gateway<S>, checked: &Checked, verifiers: &[Arc<Verifier>]) -> Readmitter {
    let way = |(source, verifier): (&config::Source, &Arc<Verifier>)| {
        let routes = match &source.mode {
            config::Mode::Queue => Some(checked.routes.clone()),
            config::Mode::Proxy { .. } => source.kept_for_app().map(Routes::all_to),
        };
        let keep = routes.map(|routes| {
            let mut keeping = keeping(source, verifier, gateway, Arc::new(routes));
            keeping.dedup_window.get_or_insert(KNOWN_FOR);
            Arc::new(Keep::new(keeping, Arc::clone(&gateway.store), gateway.clock.clone()))
        });
        Arc::new(Way {
            source: source.clone(),
            verifier: Arc::clone(verifier),
            certificates: Arc::clone(&gateway.certificates),
            metrics: gateway.metrics.source(&source.name),
            dedup_key: gateway.dedup_key,
            keep,
        })
    };
    let ways: Vec<_> = checked.sources.iter().zip(verifiers).map(way).collect();
    Box::new(move |row| {
        let way = ways.iter().find(|way| Some(&*way.source.name) == row.source.as_deref()).cloned();
        Box::pin(async move {
            match way {
                Some(way) => way.readmit(&row).await,
                None => Err(NotReadmitted::Impossible("there is no such source any more")),
            }
        })
    })
}

// === impl Way ===

impl<S: Store> Way<S> {
    async fn readmit(&self, row: &RejectionRow) -> Result<Readmitted, NotReadmitted> {
        let Some(keep) = &self.keep else {
            return Err(NotReadmitted::Impossible("its source passes requests on to an app and keeps none"));
        };
        let request = request_of(row)?;
        let handshakes = handshakes(&self.source, &self.verifier);
        let came_at = Clock::manual(row.at);
        let behind =
            behind_body(&self.source, &self.verifier, handshakes.as_ref(), Vec::new(), &came_at, self.dedup_key);
        let marked = Arc::new(Marked { keep: Arc::clone(keep), mark: self.mark(row) });
        let service = ServiceBuilder::new()
            .layer(FetchingLayer::new(self.verifier.odd(), &self.certificates))
            .layer(GuardLayer::new(behind))
            .service(service_fn(move |request: Request<Buffered>| {
                let marked = Arc::clone(&marked);
                async move { Ok::<_, Infallible>(marked.keep(request).await) }
            }));
        let mut response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
        if let Some(refused) = response.extensions_mut().remove::<Refused>() {
            return Err(NotReadmitted::Refused(refused.rejection));
        }
        if response.extensions().get::<Handshaken>().is_some() {
            return Err(NotReadmitted::Impossible("it is a handshake: there is nothing to keep"));
        }
        let Some(Kept { event, duplicate, unrouted, .. }) = response.extensions().get::<Kept>().copied() else {
            return Err(NotReadmitted::Impossible("nothing came of it"));
        };
        if !duplicate {
            self.metrics.accepted.inc();
        }
        tracing::info!(rejection = %row.id, %event, duplicate, "a refused request was let in");
        Ok(Readmitted { event, duplicate, unrouted })
    }

    fn mark(&self, row: &RejectionRow) -> [u8; 16] {
        let mut hasher = SipHasher13::new_with_key(&self.dedup_key);
        hasher.write(b"readmitted ");
        hasher.write(row.id.to_string().as_bytes());
        hasher.finish128().as_bytes()
    }
}

// === impl Marked ===

impl<S: Store> Marked<S> {
    async fn keep(&self, mut request: Request<Buffered>) -> Response<Bytes> {
        if let Some(facts) = request.extensions_mut().get_mut::<Facts>() {
            facts.dedup_key.get_or_insert(self.mark);
        }
        self.keep.keep(request).await
    }
}

/// The request as far as the ledger has it; credentials are not in it.
fn request_of(row: &RejectionRow) -> Result<Request<Buffered>, NotReadmitted> {
    if row.detail.starts_with(LET_THROUGH) {
        return Err(NotReadmitted::Impossible("it was let through when it came: its source only reports"));
    }
    if row.headers.lines().any(|line| line == CUT) {
        return Err(NotReadmitted::Impossible("its headers were too large to be kept whole"));
    }
    let unreadable = NotReadmitted::Impossible("its request line cannot be read");
    let (method, target) = row.request_line.split_once(' ').ok_or(unreadable.clone())?;
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return Err(unreadable) };
    let mut request = Request::new(Buffered::from(row.body.clone()));
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    for (name, value) in headers(&row.headers).iter().filter(|(_, value)| value.as_bytes() != MASKED.as_bytes()) {
        request.headers_mut().append(name.clone(), value.clone());
    }
    request.extensions_mut().insert(Facts::default());
    Ok(request)
}
