//! What the admin port answers: each operation with who may call it, in one table.
//!
//! Denied by default, three times: an operation that names no roles answers 403 to everybody; one that does not say that
//! it keeps to the caller's project answers 403 to tokens that are bound to one; and a handler that stands in the
//! router without an operation in the table is never reached.

use axum::handler::Handler;
use axum::routing::{self, MethodFilter};
use http::{HeaderValue, Method};

use super::caller::{Caller, Role};
use super::operation::Told;
use super::problem::Problem;
use super::state::State;

/// One method of one path.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// As the router matches it: `/v1/events/{id}`.
    pub(super) path: &'static str,
    access: Access,
    /// Whether it keeps to the project of a token that is bound to one.
    within_project: bool,
    /// Whether the header `Hookward-Project` counts.
    pub(super) names_project: bool,
    /// Whether it sees to its `Idempotency-Key` by itself.
    pub(super) keeps_keys: bool,
    /// Whether it may be done again where nobody knows whether it was done: the second time changes nothing that matters.
    pub(super) repeatable: bool,
    /// What it says about itself.
    pub(super) told: Told,
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug)]
enum Access {
    /// Everybody who reaches the port, without a token.
    Open,
    /// Tokens with one of these roles.
    Roles(&'static [Role]),
}

/// Who looks.
pub(super) const READERS: &[Role] = &[Role::Admin, Role::Viewer];

/// Who emits events.
pub(super) const PUBLISHERS: &[Role] = &[Role::Admin, Role::Publisher];

/// Whoever has a token.
pub(super) const EVERYBODY: &[Role] = &Role::ALL;

/// Who acts.
pub(super) const ADMINS: &[Role] = &[Role::Admin];

/// The table and the handlers; grows together.
pub(super) struct Surface<S> {
    router: axum::Router<State<S>>,
    table: Table,
}

/// Every operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Vec<Operation>);

/// What the table has for a request.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This.
    Operation(&'a Operation),
    /// The path, but not with this method; whether everybody may know that.
    OtherMethods { allow: HeaderValue, open: bool },
    /// Nothing.
    Nothing,
}

// === impl Operation ===

impl Operation {
    /// A GET that nobody may use yet.
    pub(super) fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST that nobody may use yet.
    pub(super) fn post(path: &'static str) -> Self {
        Self::new(Method::POST, path)
    }

    /// A PATCH that nobody may use yet.
    pub(super) fn patch(path: &'static str) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// A DELETE that nobody may use yet.
    pub(super) fn delete(path: &'static str) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &'static str) -> Self {
        Self {
            method,
            path,
            access: Access::Roles(&[]),
            within_project: false,
            names_project: false,
            keeps_keys: false,
            repeatable: false,
            told: Told::default(),
        }
    }

    /// Needs no token.
    pub(super) fn open(self) -> Self {
        Self { access: Access::Open, ..self }
    }

    /// For tokens with one of these roles.
    pub(super) fn roles(self, roles: &'static [Role]) -> Self {
        Self { access: Access::Roles(roles), ..self }
    }

    /// For tokens that are bound to a project too: its handler keeps to [`Caller::project`].
    pub(super) fn within_project(self) -> Self {
        Self { within_project: true, ..self }
    }

    /// Sees to its `Idempotency-Key` by itself.
    pub(super) fn keeps_keys(self) -> Self {
        Self { keeps_keys: true, ..self }
    }

    /// The second time changes nothing that matters: it is done again where a crash lets nobody know.
    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// Who may, by role; of what is open everybody may.
    pub(super) fn roles_allowed(&self) -> &'static [Role] {
        match self.access {
            Access::Open => &Role::ALL,
            Access::Roles(roles) => roles,
        }
    }

    /// Whether tokens that are bound to a project may.
    pub(super) fn is_within_project(&self) -> bool {
        self.within_project
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.access, Access::Open)
    }

    /// Whether the caller may.
    pub(super) fn permits(&self, caller: &Caller) -> Result<(), Problem> {
        let roles = match self.access {
            Access::Open => return Ok(()),
            Access::Roles(roles) => roles,
        };
        if !roles.contains(&caller.role) {
            return Err(Problem::forbidden("role_not_allowed", "the role of this token does not allow this"));
        }
        if caller.project.is_some() && !self.within_project {
            let detail = "this token is bound to a project, and this belongs to no project";
            return Err(Problem::forbidden("project_not_allowed", detail));
        }
        Ok(())
    }

    fn filter(&self) -> MethodFilter {
        // Only methods that the builders above make; anything else would be reached by no request.
        MethodFilter::try_from(self.method.clone()).unwrap_or(MethodFilter::TRACE)
    }

    fn serves(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }
}

// === impl Surface, Table ===

impl<S: Send + Sync + 'static> Surface<S> {
    pub(super) fn new() -> Self {
        Self { router: axum::Router::new(), table: Table::default() }
    }

    /// Adds an operation and its handler.
    pub(super) fn with<T: 'static>(mut self, operation: Operation, handler: impl Handler<T, State<S>>) -> Self {
        self.router = self.router.route(operation.path, routing::on(operation.filter(), handler));
        self.table.0.push(operation);
        self
    }

    /// The handlers, which must stand behind the table's check.
    pub(super) fn into_parts(self) -> (axum::Router<State<S>>, Table) {
        (self.router, self.table)
    }
}

impl Table {
    /// Every operation, in the order of the router.
    pub(super) fn operations(&self) -> &[Operation] {
        &self.0
    }

    /// What is asked for, by the path as the router matched it.
    pub(super) fn find(&self, path: &str, method: &Method) -> Found<'_> {
        let of_path = || self.0.iter().filter(|operation| operation.path == path);
        if let Some(operation) = of_path().find(|operation| operation.serves(method)) {
            return Found::Operation(operation);
        }
        let methods: Vec<&str> = of_path()
            .flat_map(|operation| [Some(operation.method.as_str()), operation.serves(&Method::HEAD).then_some("HEAD")])
            .flatten()
            .collect();
        match HeaderValue::try_from(methods.join(",")) {
            Ok(allow) if !methods.is_empty() => Found::OtherMethods { allow, open: of_path().all(Operation::is_open) },
            _ => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, project: Option<&str>) -> Caller {
        Caller { role, project: project.map(Into::into) }
    }

    #[test]
    fn what_says_nothing_is_denied_to_everybody() {
        let silent = Operation::get("/v1/x");
        for role in Role::ALL {
            assert_eq!(silent.permits(&caller(role, None)).unwrap_err().status(), 403);
        }
        let of_no_project = Operation::get("/v1/x").roles(READERS);
        assert!(of_no_project.permits(&caller(Role::Viewer, None)).is_ok());
        assert!(of_no_project.permits(&caller(Role::Viewer, Some("shop"))).is_err());
        assert!(of_no_project.within_project().permits(&caller(Role::Viewer, Some("shop"))).is_ok());
    }

    #[test]
    fn a_path_knows_its_methods() {
        let surface: Surface<()> = Surface::new()
            .with(Operation::get("/a"), async || "")
            .with(Operation::post("/a"), async || "")
            .with(Operation::get("/open").open(), async || "");
        let (_, table) = surface.into_parts();
        assert!(matches!(table.find("/a", &Method::HEAD), Found::Operation(found) if found.method == Method::GET));
        assert!(
            matches!(table.find("/a", &Method::PUT), Found::OtherMethods { allow, open: false } if allow == "GET,HEAD,POST")
        );
        assert!(matches!(table.find("/open", &Method::PUT), Found::OtherMethods { open: true, .. }));
        assert!(matches!(table.find("/b", &Method::GET), Found::Nothing));
    }
}
