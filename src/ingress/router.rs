//! From a path to its source: exact, one parse, no normalisation.
//!
//! A path matches when its bytes are the configured ones: no decoding, no merging of slashes, no removal of dot
//! segments, case matters, a trailing slash is a difference. The one thing that is normalised is the
//! absolute-form, whose scheme and authority are cut off, and the query, which is no part of the path. So there
//! is nothing that this router and an app behind it can read in two ways: `/a%2fb`, `//a`, `/a/../b` or `/%61`
//! are simply not found. A path that no URL can have (a broken escape, an encoded or plain control character, a
//! backslash, bytes above 127) is malformed.
//!
//! The table is swapped whole on reload; a request uses the one that it began with.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::call::Call;
use crate::domain::{Facts, Reason, Refused, Rejection};

/// What is found by path: a service, or anything else, for each source.
#[derive(Debug)]
pub struct Table<T>(HashMap<Box<str>, Place<T>>);

#[derive(Debug)]
struct Place<T> {
    methods: Vec<Method>,
    allow: Box<str>,
    what: T,
}

/// A path that cannot be configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Two sources want it.
    #[error("path {0} is taken by another source: give each source a path of its own")]
    Taken(Box<str>),
    /// No request could ever have it.
    #[error("path {0} cannot match any request: write it as it stands in the url, beginning with / and without query")]
    Impossible(Box<str>),
}

/// A tower service that passes each request to the service of its path, and answers 404 or 405 where there is
/// none, before anything is read of the body.
///
/// It keeps the service that it called last: a connection has one of its own, and its requests mostly ask for one
/// path.
#[derive(Debug)]
pub struct Router<S> {
    table: Arc<ArcSwap<Table<S>>>,
    last: Option<Last<S>>,
}

/// What the last request asked for, true as long as its table is the one in use.
#[derive(Debug)]
struct Last<S> {
    table: Arc<Table<S>>,
    method: Method,
    path: Box<str>,
    service: S,
}

pin_project! {
    /// The answer of the source's service, or the refusal.
    pub struct Routing<F, B> {
        #[pin]
        inner: Inner<F, B>,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<F, B> {
        Found { #[pin] future: F },
        Refused { response: Option<Response<B>> },
    }
}

// === impl Table ===

impl<T> Table<T> {
    /// A table of paths with the methods that each takes.
    ///
    /// # Errors
    /// A path that is there twice, or that no request can have.
    pub fn new(places: impl IntoIterator<Item = (Box<str>, Vec<Method>, T)>) -> Result<Self, PathError> {
        let mut table = HashMap::new();
        for (path, methods, what) in places {
            if !is_possible(&path) {
                return Err(PathError::Impossible(path));
            }
            let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ").into();
            if table.contains_key(&path) {
                return Err(PathError::Taken(path));
            }
            table.insert(path, Place { methods, allow, what });
        }
        Ok(Self(table))
    }

    /// What a request with this method and path asks for.
    ///
    /// # Errors
    /// `malformed_request`, `unknown_path` or `method_not_allowed`.
    pub fn find(&self, method: &Method, path: &str) -> Result<&T, Rejection> {
        match self.0.get(path) {
            Some(place) if place.methods.contains(method) => Ok(&place.what),
            Some(place) => Err(Rejection::new(Reason::MethodNotAllowed, method.as_str()).allow(&place.allow)),
            None if is_malformed(path) => Err(Rejection::new(Reason::MalformedRequest, "malformed path")),
            None => Err(Rejection::new(Reason::UnknownPath, path)),
        }
    }

    /// Everything in the table, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(path, place)| (&**path, &place.what))
    }
}

/// Whether a request can have this path, which then stands for itself.
#[must_use]
pub fn is_possible(path: &str) -> bool {
    // What a URL's path may have is asked of those who parse the requests.
    !path.contains(['?', '#']) && !is_malformed(path) && path.parse::<PathAndQuery>().is_ok()
}

/// Whether no URL can have this path.
fn is_malformed(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return true };
                // An encoded control character; DEL is one too.
                if high < 2 || (high, low) == (7, 15) {
                    return true;
                }
            }
            b'\\' | 0..=b' ' | 127.. => return true,
            _ => {}
        }
    }
    !path.starts_with('/')
}

// === impl Router ===

impl<S> Router<S> {
    /// Routes by `table`; storing another one there is a reload.
    #[must_use]
    pub fn new(table: Arc<ArcSwap<Table<S>>>) -> Self {
        Self { table, last: None }
    }
}

impl<S: Clone> Router<S> {
    /// The service for a request.
    fn find(&mut self, method: &Method, path: &str) -> Result<&mut S, Rejection> {
        let table = self.table.load();
        let is_the_same =
            |last: &Last<S>| Arc::ptr_eq(&last.table, &table) && last.method == *method && &*last.path == path;
        let last = match self.last.take_if(|last| is_the_same(last)) {
            Some(last) => last,
            None => Last {
                service: table.find(method, path)?.clone(),
                table: Guard::into_inner(table),
                method: method.clone(),
                path: path.into(),
            },
        };
        Ok(&mut self.last.insert(last).service)
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.table))
    }
}

impl<S, ReqB, B> Service<Request<ReqB>> for Router<S>
where
    S: Service<Request<ReqB>, Response = Response<B>, Error = Infallible> + Clone,
    B: From<Bytes>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Routing<Call<S, Request<ReqB>>, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let inner = match self.find(request.method(), request.uri().path()) {
            Ok(service) => Inner::Found { future: Call::new(service, request) },
            Err(rejection) => Inner::Refused { response: Some(refuse(rejection, request)) },
        };
        Routing { inner }
    }
}

fn refuse<ReqB, B: From<Bytes>>(rejection: Rejection, request: Request<ReqB>) -> Response<B> {
    let (head, _) = request.into_parts();
    let mut response = rejection.to_response();
    let client = head.extensions.get::<Facts>().and_then(|facts| facts.client);
    let headers: HeaderMap = head.headers;
    let (method, uri, body) = (head.method, head.uri, Bytes::new());
    response.extensions_mut().insert(Refused { rejection, method, uri, headers, body, client });
    response
}

// === impl Routing ===

impl<F, B> Future for Routing<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.project() {
            InnerProjection::Found { future } => future.poll(cx),
            InnerProjection::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                // Polled again after it was done.
                None => Poll::Pending,
            },
        }
    }
}
