//! The seam between the signature guard, which needs certificates of some senders, and deliver, which can get them.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::deliver::Getter;
use crate::guard::signature::odd::certificates::CERTIFICATE_BYTES_MAX;
use crate::guard::signature::odd::{Fetch, Fetched};

/// Gets what senders sign with; a look-up, a connection and an answer within the time.
#[derive(Default)]
pub(super) struct Fetcher(Arc<Getter>);

/// The whole of a fetch: a sender waits for it.
const TIMEOUT: Duration = Duration::from_secs(4);

impl Fetch for Fetcher {
    fn fetch(&self, url: &Url) -> Fetched {
        let (getter, url) = (Arc::clone(&self.0), url.clone());
        Box::pin(async move { getter.get(&url, CERTIFICATE_BYTES_MAX, TIMEOUT).await })
    }
}
