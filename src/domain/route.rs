//! Which events of which sources go where.

use std::sync::Arc;
use std::time::Duration;

use super::{Glob, Plan, PlannedDelivery, Timestamp};

/// One entry of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Names of sources; `None` is `"*"`: every source.
    pub from: Option<Vec<Arc<str>>>,
    /// Globs over the event type; `None` takes every event, also one without a type.
    pub types: Option<Vec<Glob>>,
    /// Names of destinations.
    pub to: Vec<Arc<str>>,
    /// Attempted this long after the event was received.
    pub delay: Option<Duration>,
    /// Not attempted any more this long after the event was received.
    pub expires: Option<Duration>,
}

/// Every route, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(pub Vec<Route>);

// === impl Route ===

impl Route {
    /// Whether an event of this source and type takes the route.
    #[must_use]
    pub fn wants(&self, source: &str, event_type: Option<&str>) -> bool {
        self.takes_source(source) && (self.types.is_none() || self.glob_of(event_type).is_some())
    }

    /// Whether events of this source may take the route.
    #[must_use]
    pub fn takes_source(&self, source: &str) -> bool {
        self.from.as_ref().is_none_or(|from| from.iter().any(|name| **name == *source))
    }

    /// The first of the route's globs that matches a type.
    #[must_use]
    pub fn glob_of(&self, event_type: Option<&str>) -> Option<&Glob> {
        let event_type = event_type?;
        self.types.as_ref()?.iter().find(|glob| glob.matches(event_type))
    }
}

// === impl Routes ===

impl Routes {
    /// The one route that takes everything to one target.
    #[must_use]
    pub fn all_to(target: Arc<str>) -> Self {
        Self(vec![Route { from: None, types: None, to: vec![target], delay: None, expires: None }])
    }

    /// The deliveries of an event: every matching route counts, and a destination that two routes name
    /// gets one delivery, by the first route's settings.
    #[must_use]
    pub fn plan(&self, source: &str, event_type: Option<&str>, received_at: Timestamp) -> Plan {
        let mut deliveries: Vec<PlannedDelivery> = Vec::new();
        for (index, route) in self.0.iter().enumerate() {
            if !route.wants(source, event_type) {
                continue;
            }
            for target in &route.to {
                if deliveries.iter().any(|planned| planned.target == *target) {
                    continue;
                }
                deliveries.push(PlannedDelivery {
                    target: Arc::clone(target),
                    route: u16::try_from(index).unwrap_or(u16::MAX),
                    not_before: route.delay.map(|delay| received_at.plus(delay)),
                    expires_at: route.expires.map(|expires| received_at.plus(expires)),
                    order_key: None,
                    batch_key: None,
                });
            }
        }
        Plan { deliveries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(from: &[&str], types: &[&str], to: &[&str]) -> Route {
        Route {
            from: (!from.is_empty()).then(|| from.iter().map(|name| Arc::from(*name)).collect()),
            types: (!types.is_empty()).then(|| types.iter().map(|glob| Glob::new(glob)).collect()),
            to: to.iter().map(|name| Arc::from(*name)).collect(),
            delay: None,
            expires: None,
        }
    }

    #[track_caller]
    fn check(source: &str, event_type: Option<&str>, expected: &[(&str, u16)]) {
        let mut delayed = route(&[], &["user"], &["crm", "late"]);
        delayed.delay = Some(Duration::from_secs(1));
        let routes =
            Routes(vec![route(&["a"], &["payment.*"], &["crm"]), route(&["a", "b"], &[], &["log", "crm"]), delayed]);
        let plan = routes.plan(source, event_type, Timestamp(1));
        let got: Vec<_> = plan.deliveries.iter().map(|planned| (&*planned.target, planned.route)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn every_matching_route_counts_and_the_first_names_the_settings() {
        check("a", Some("payment.failed"), &[("crm", 0), ("log", 1)]);
        check("b", Some("payment.failed"), &[("log", 1), ("crm", 1)]);
        check("b", None, &[("log", 1), ("crm", 1)]);
        check("c", Some("user.created"), &[("crm", 2), ("late", 2)]);
        check("c", None, &[]);
    }
}
