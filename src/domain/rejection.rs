//! Why a request was refused, and the one place where each reason gets its status.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use std::net::IpAddr;

/// A guard's refusal: a typed reason, and words for the operator that the sender never sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.code())]
pub struct Rejection {
    /// What it is counted under, and what gives the status.
    pub reason: Reason,
    /// What was found, for the operator: no secret, bounded in length.
    pub detail: Box<str>,
    /// When the sender may come again (429 and 503).
    pub retry_after: Option<Duration>,
    /// The methods that are allowed, for `Allow` (405).
    pub allow: Option<Box<str>>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $code:literal $status:ident;)*) => {
        /// Every reason for which a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order in which a request can meet them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for metrics, the ledger and the `code` of the problem+json.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The answer's status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

reasons! {
    /// The request was not HTTP that can be read in one way only.
    MalformedRequest "malformed_request" BAD_REQUEST;
    /// The body comes in a transfer coding that we do not know.
    TransferCodingUnknown "transfer_coding_unknown" NOT_IMPLEMENTED;
    /// The request is for a host that has another certificate than its connection was made with.
    MisdirectedRequest "misdirected_request" MISDIRECTED_REQUEST;
    /// The request line was too long.
    UriTooLong "uri_too_long" URI_TOO_LONG;
    /// The headers were too many or too large.
    HeadersTooLarge "headers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The head did not come in time.
    HeaderTimeout "header_timeout" REQUEST_TIMEOUT;
    /// The gateway could not answer within the request's time.
    RequestTimeout "request_timeout" SERVICE_UNAVAILABLE;
    /// No source has this path.
    UnknownPath "unknown_path" NOT_FOUND;
    /// The source does not take this method.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED;
    /// The client's address is not on the source's list.
    AddressNotAllowed "address_not_allowed" FORBIDDEN;
    /// Too many requests of this address, source or header value.
    RateLimited "rate_limited" TOO_MANY_REQUESTS;
    /// The body is, or says that it is, larger than allowed.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE;
    /// The content type is not one that the source takes.
    ContentTypeNotAllowed "content_type_not_allowed" UNSUPPORTED_MEDIA_TYPE;
    /// The content encoding cannot be undone where the envelope must be read.
    ContentEncodingUnknown "content_encoding_unknown" UNSUPPORTED_MEDIA_TYPE;
    /// A header that the signature needs is absent.
    SignatureMissing "signature_missing" UNAUTHORIZED;
    /// A signature header is there but does not have the scheme's form, or is there twice.
    SignatureMalformed "signature_malformed" UNAUTHORIZED;
    /// The body did not come in time.
    BodyTimeout "body_timeout" REQUEST_TIMEOUT;
    /// The sender went away before the body was whole.
    BodyIncomplete "body_incomplete" BAD_REQUEST;
    /// The bodies that are being read fill the memory that is set aside for them.
    BodyMemoryFull "body_memory_full" SERVICE_UNAVAILABLE;
    /// The certificate that the signature needs could not be fetched.
    CertificateUnavailable "certificate_unavailable" SERVICE_UNAVAILABLE;
    /// No secret of the source makes this signature.
    SignatureMismatch "signature_mismatch" UNAUTHORIZED;
    /// The signed time is older than the tolerance.
    TimestampTooOld "timestamp_too_old" UNAUTHORIZED;
    /// The signed time lies further in the future than the tolerance.
    TimestampInFuture "timestamp_in_future" UNAUTHORIZED;
    /// The body is not JSON where the scheme needs it.
    BodyNotJson "body_not_json" BAD_REQUEST;
    /// The body's JSON is nested deeper than the limit.
    BodyTooDeep "body_too_deep" BAD_REQUEST;
    /// The body names its id or type twice.
    BodyDuplicateKey "body_duplicate_key" BAD_REQUEST;
    /// The scheme needs an event id and there is none, or it is too long.
    EventIdMissing "event_id_missing" BAD_REQUEST;
    /// The scheme needs an event type and there is none, or it is too long.
    EventTypeMissing "event_type_missing" BAD_REQUEST;
    /// The id in the header is not the one in the signed body.
    EventIdMismatch "event_id_mismatch" BAD_REQUEST;
    /// A copy of the event is being worked on.
    DuplicateInFlight "duplicate_in_flight" SERVICE_UNAVAILABLE;
    /// The request has gone in circles: it passed through hookward too often.
    LoopDetected "loop_detected" LOOP_DETECTED;
    /// No connection to the app of a proxy-mode source.
    AppUnreachable "app_unreachable" BAD_GATEWAY;
    /// The app broke off, or its answer was not HTTP.
    AppBroken "app_broken" BAD_GATEWAY;
    /// The app did not answer in time.
    AppTooSlow "app_too_slow" GATEWAY_TIMEOUT;
    /// The store cannot keep anything now.
    StoreUnavailable "store_unavailable" SERVICE_UNAVAILABLE;
    /// The store has reached its `bytes_max` or the disk its `disk_free_min`.
    StoreFull "store_full" SERVICE_UNAVAILABLE;
    /// The gateway is shutting down.
    Draining "draining" SERVICE_UNAVAILABLE;
    /// Something in the gateway broke; the log says what.
    Internal "internal" INTERNAL_SERVER_ERROR;
}

/// Travels in the extensions of a refusing response, so that the ledger can keep what was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub rejection: Rejection,
    /// The request's method.
    pub method: Method,
    /// The request's target.
    pub uri: Uri,
    /// The request's headers, credentials included: masked before anything shows them.
    pub headers: HeaderMap,
    /// The body, where it had been read.
    pub body: Bytes,
    /// The client's address.
    pub client: Option<IpAddr>,
}

/// The longest detail that is kept.
const DETAIL_BYTES_MAX: usize = 512;

// === impl Reason ===

impl Reason {
    /// Whether the signature itself was not right, or could not be read.
    #[must_use]
    pub fn is_of_signature(self) -> bool {
        matches!(self, Self::SignatureMissing | Self::SignatureMalformed | Self::SignatureMismatch)
    }

    /// Whether the signature was right and its time was not.
    #[must_use]
    pub fn is_of_time(self) -> bool {
        matches!(self, Self::TimestampTooOld | Self::TimestampInFuture)
    }
}

// === impl Rejection ===

impl Rejection {
    /// A rejection with words for the operator, cut to 512 bytes.
    #[must_use]
    pub fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        let detail = detail.as_ref();
        let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
        Self { reason, detail: detail.get(..end).unwrap_or_default().into(), retry_after: None, allow: None }
    }

    /// Tells the sender when to come again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Tells the sender which methods are allowed.
    #[must_use]
    pub fn allow(mut self, methods: &str) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// The answer to the sender: the status, the headers that it demands, and a problem+json (RFC 9457)
    /// that names the code and nothing else.
    #[must_use]
    pub fn to_response<B: From<Bytes>>(&self) -> Response<B> {
        let status = self.reason.status();
        let title = status.canonical_reason().unwrap_or_default();
        let code = self.reason.code();
        let body =
            format!(r#"{{"type":"about:blank","title":"{title}","status":{},"code":"{code}"}}"#, status.as_u16());
        let mut response = Response::new(B::from(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            // Rounded up: a sender that comes a moment early would be refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 15.5.2 demands a challenge; webhook signatures have no registered scheme.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Signature"));
        }
        response
    }
}
