//! What was refused, and why; and letting it in after all.

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::pages;
use super::parameter::{AFTER_REJECTION, CREATED_GTE, CREATED_LTE, LIMIT, Parameter, REASON, SOURCE};
use super::params::{Key, Query};
use super::problem::Problem;
use super::state::{NotReadmitted, Readmitted, State};
use super::wire::{List, Rejection};
use crate::domain::{Reason, RejectionId};
use crate::records::search;
use crate::store::{RejectionFilter, RejectionRow, Store};

/// The parameters of the list.
pub(super) const LIST: &[Parameter] = &[LIMIT, AFTER_REJECTION, SOURCE, REASON, CREATED_GTE, CREATED_LTE];

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    query: Query,
) -> Result<Json<List<Rejection>>, Problem> {
    let params = query.only(LIST)?;
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    let filter = RejectionFilter {
        source: params.owned("source"),
        reason: params.read("reason", format_args!("one of {}", reasons.join(", ")), |text| {
            Reason::ALL.iter().copied().find(|reason| reason.code() == text)
        })?,
        created_gte: params.created_gte()?,
        created_lte: params.created_lte()?,
    };
    let page = state.store.rejections(filter, pages::requested::<RejectionId>(&params)?).await?;
    let configured = state.configured();
    Ok(Json(pages::shown(page, "/v1/rejections", |row| Rejection::new(row, &configured.masks))))
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Key(key): Key,
    query: Query,
) -> Result<Json<Rejection>, Problem> {
    query.only(&[])?;
    let row = find(&state, &key).await?;
    let configured = state.configured();
    // A search may take a quarter of a second: not where health checks are answered.
    let asked = tokio::task::spawn_blocking(move || {
        let diagnosis = (configured.diagnose)(&row);
        (Rejection::new(row, &configured.masks), diagnosis)
    });
    let (rejection, diagnosis) = asked.await.map_err(|error| {
        tracing::error!(%error, "a diagnosis did not end well");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what")
    })?;
    Ok(Json(rejection.diagnosed(diagnosis.as_ref())))
}

/// What came of letting a refused request in.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct Readmission {
    object: &'static str,
    rejection: String,
    /// The event that it is now; of a copy, the first one.
    event: String,
    /// Whether that was held already: nothing was added.
    duplicate: bool,
    /// Whether no route wants it.
    unrouted: bool,
}

pub(super) async fn readmit<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Key(key): Key,
    query: Query,
) -> Result<(StatusCode, Json<Readmission>), Problem> {
    query.only(&[])?;
    let row = find(&state, &key).await?;
    let rejection = row.id.to_string();
    let Readmitted { event, duplicate, unrouted } = (state.configured().readmit)(row).await?;
    let event = event.to_string();
    Ok((StatusCode::ACCEPTED, Json(Readmission { object: "readmission", rejection, event, duplicate, unrouted })))
}

async fn find<S: Store>(state: &State<S>, key: &str) -> Result<RejectionRow, Problem> {
    let id: RejectionId = key.parse().map_err(|_not_an_id| Problem::not_found("rejection with this id"))?;
    Ok(search::rejection(&*state.store, id).await?)
}

impl From<NotReadmitted> for Problem {
    fn from(why: NotReadmitted) -> Self {
        let code = "not_readmitted";
        match why {
            NotReadmitted::Impossible(detail) => Self::new(StatusCode::CONFLICT, code, detail),
            NotReadmitted::Refused(rejection) if rejection.reason.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, rejection.reason.code(), &*rejection.detail).retry_after(5)
            }
            NotReadmitted::Refused(rejection) => Self::new(StatusCode::CONFLICT, code, rejection.to_string()),
        }
    }
}
