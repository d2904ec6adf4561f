//! Every operation of the admin port: what it is, who may call it, and who answers. To add one, add it here.
//!
//! What names no roles is nobody's, and what does not say that it keeps to a project is not for tokens that are bound
//! to one.

use super::emit::TestEvent;
use super::openapi::{self, OpenApi};
use super::rejections::Readmission;
use super::replays::Asked;
use super::surface::{ADMINS, EVERYBODY, Operation, PUBLISHERS, READERS, Surface};
use super::webhook_fields::{Create, Rotate, Update};
use super::webhook_wire::{BulkReplay, Deleted, EmittedEvent, EventType, Webhook, WebhookStats};
use super::wire::{
    Alive, Delivery, DeliveryDetail, Destination, EventDetail, EventItem, List, Ready, Rejection, Replay, Source, Stats,
};
use super::{configured, deliveries, emit, events, health, pauses, rejections, replays, stream, webhooks};
use crate::outbound::WrittenEvent;
use crate::store::Store;
use crate::telemetry::metrics;

/// The table with its handlers.
pub(super) fn all<S: Store>() -> Surface<S> {
    let surface = health::<S>(Surface::new());
    let surface = received::<S>(surface);
    let surface = paused::<S>(operated::<S>(surface));
    replayed::<S>(registered::<S>(emitted::<S>(surface)))
}

/// Open to everybody who reaches the port.
fn health<S: Store>(surface: Surface<S>) -> Surface<S> {
    let open = |path, says| Operation::get(path).open().says(says);
    let ready = |path| open(path, "whether traffic is wanted, and why not").answers::<Ready>(200).answers::<Ready>(503);
    let (livez, metrics) =
        (open("/livez", "whether the process answers"), open("/metrics", "everything that is counted"));
    surface
        .with(livez.answers::<Alive>(200), health::livez)
        .with(ready("/readyz"), health::readyz::<S>)
        .with(ready("/healthz"), health::readyz::<S>)
        .with(metrics.answers_bytes(metrics::CONTENT_TYPE), health::scrape::<S>)
}

/// What was received or emitted, and what became of it.
fn received<S: Store>(surface: Surface<S>) -> Surface<S> {
    surface
        .with(
            look("/v1/events", "what was received or emitted, newest first")
                .within_project()
                .query(events::LIST)
                .answers::<List<EventItem>>(200),
            events::list::<S>,
        )
        .with(
            look("/v1/events/{id}", "one event with its deliveries, by our id or the sender's own")
                .within_project()
                .answers::<EventDetail>(200),
            events::show::<S>,
        )
        .with(
            look("/v1/events/{id}/body", "its bytes as they were sent")
                .within_project()
                .answers_bytes("application/octet-stream"),
            events::body::<S>,
        )
        .with(
            act("/v1/events/{id}/replay", "send it again, to where it goes today")
                .within_project()
                .answers::<Replay>(202),
            events::replay::<S>,
        )
        .with(
            look("/v1/deliveries", "what went where, newest first")
                .within_project()
                .query(deliveries::LIST)
                .answers::<List<Delivery>>(200)
                // Of an event that is not there.
                .fails(&[404]),
            deliveries::list::<S>,
        )
        .with(
            look("/v1/deliveries/{id}", "one delivery with its attempts")
                .within_project()
                .answers::<DeliveryDetail>(200),
            deliveries::show::<S>,
        )
        .with(
            act("/v1/deliveries/{id}/redeliver", "again, now").within_project().answers::<Delivery>(202),
            deliveries::redeliver::<S>,
        )
        .with(
            act("/v1/deliveries/{id}/cancel", "no more").repeatable().within_project().answers::<Delivery>(200),
            deliveries::cancel::<S>,
        )
}

/// What was refused, and what is configured: the operator's, of no project.
fn operated<S: Store>(surface: Surface<S>) -> Surface<S> {
    surface
        .with(
            look("/v1/rejections", "refused requests, newest first")
                .query(rejections::LIST)
                .answers::<List<Rejection>>(200),
            rejections::list::<S>,
        )
        .with(
            look("/v1/rejections/{id}", "one refused request, and what is wrong with its signature")
                .answers::<Rejection>(200),
            rejections::show::<S>,
        )
        .with(
            act("/v1/rejections/{id}/readmit", "let it in after all, where today's guards do")
                .repeatable()
                .answers::<Readmission>(202)
                .fails(&[409]),
            rejections::readmit::<S>,
        )
        .with(look("/v1/sources", "who sends").answers::<List<Source>>(200), configured::sources::<S>)
        .with(
            look("/v1/destinations", "who receives, and what waits").answers::<List<Destination>>(200),
            configured::destinations::<S>,
        )
        .with(look("/v1/stats", "totals since the store was made").answers::<Stats>(200), configured::stats::<S>)
        .with(
            look("/v1/stream", "what happens, as server-sent events: event, attempt, rejection")
                .within_project()
                .query(stream::QUERY)
                .answers_bytes(stream::EVENT_STREAM),
            stream::show::<S>,
        )
        .with(look("/v1/openapi.json", "this document").within_project().answers::<OpenApi>(200), openapi::show)
}

/// What waits because a person said so.
fn paused<S: Store>(surface: Surface<S>) -> Surface<S> {
    let source = |path, says| act(path, says).repeatable().answers::<Source>(200);
    let destination = |path, says| act(path, says).repeatable().answers::<Destination>(200);
    surface
        .with(
            source("/v1/sources/{name}/pause", "its events are kept, and their deliveries wait"),
            pauses::pause_source::<S>,
        )
        .with(source("/v1/sources/{name}/resume", "what waited goes, and what comes"), pauses::resume_source::<S>)
        .with(destination("/v1/destinations/{name}/pause", "its deliveries are held"), pauses::pause_destination::<S>)
        .with(destination("/v1/destinations/{name}/resume", "they go again"), pauses::resume_destination::<S>)
}

/// What is sent.
fn emitted<S: Store>(surface: Surface<S>) -> Surface<S> {
    surface
        .with(
            Operation::post("/v1/events")
                .roles(PUBLISHERS)
                .within_project()
                .keeps_keys()
                .names_project()
                .says("emit an event to the project's webhooks; durable when it is answered")
                .takes::<WrittenEvent>()
                .answers::<EmittedEvent>(202)
                .fails(&[404]),
            emit::emit::<S>,
        )
        .with(
            Operation::post("/v1/test-events")
                .roles(PUBLISHERS)
                .within_project()
                .keeps_keys()
                .names_project()
                .says("emit a test event, to one webhook or to all that want its type")
                .takes::<TestEvent>()
                .answers::<EmittedEvent>(202)
                .fails(&[404]),
            emit::test::<S>,
        )
        .with(
            Operation::get("/v1/event-types")
                .roles(EVERYBODY)
                .within_project()
                .says("the catalogue of types; others may be emitted too")
                .answers::<List<EventType>>(200)
                .fails(&[404]),
            emit::event_types::<S>,
        )
}

/// To whom.
fn registered<S: Store>(surface: Surface<S>) -> Surface<S> {
    let own = |operation: Operation| operation.within_project().names_project().fails(&[404, 409]);
    let webhook = |operation: Operation| own(operation).answers::<Webhook>(200);
    let (patch, delete) = (Operation::patch("/v1/webhooks/{id}"), Operation::delete("/v1/webhooks/{id}"));
    surface
        .with(
            own(look("/v1/webhooks", "the project's webhooks, newest first"))
                .query(webhooks::LIST)
                .answers::<List<Webhook>>(200),
            webhooks::list::<S>,
        )
        .with(
            own(act("/v1/webhooks", "register a webhook; its secret is shown once"))
                .takes::<Create>()
                .answers::<Webhook>(201),
            webhooks::create::<S>,
        )
        .with(webhook(look("/v1/webhooks/{id}", "one webhook")), webhooks::show::<S>)
        .with(
            webhook(patch.roles(ADMINS).says("change it; what is left out stays")).takes::<Update>(),
            webhooks::update::<S>,
        )
        .with(
            own(delete.roles(ADMINS).says("forget it; what waits for it is cancelled")).answers::<Deleted>(200),
            webhooks::delete::<S>,
        )
        .with(
            webhook(act("/v1/webhooks/{id}/rotate-secret", "a new secret; the old one signs too for a while"))
                .repeatable()
                .takes::<Rotate>(),
            webhooks::rotate::<S>,
        )
        .with(webhook(act("/v1/webhooks/{id}/pause", "its deliveries wait").repeatable()), webhooks::pause::<S>)
        .with(webhook(act("/v1/webhooks/{id}/resume", "its deliveries go on").repeatable()), webhooks::resume::<S>)
        .with(
            own(look("/v1/webhooks/{id}/deliveries", "what went to it, newest first"))
                .query(webhooks::LOG)
                .answers::<List<Delivery>>(200),
            webhooks::log::<S>,
        )
        .with(own(look("/v1/webhooks/{id}/stats", "how it does")).answers::<WebhookStats>(200), webhooks::stats::<S>)
}

/// Many at once.
fn replayed<S: Store>(surface: Surface<S>) -> Surface<S> {
    surface
        .with(
            act("/v1/replays", "redeliver many by filter; `dry_run` only counts")
                .within_project()
                .names_project()
                .takes::<Asked>()
                .answers::<BulkReplay>(200)
                .answers::<BulkReplay>(202),
            replays::start::<S>,
        )
        .with(
            look("/v1/replays/{id}", "how far a replay is").within_project().names_project().answers::<BulkReplay>(200),
            replays::show::<S>,
        )
}

fn look(path: &'static str, says: &'static str) -> Operation {
    Operation::get(path).roles(READERS).says(says)
}

fn act(path: &'static str, says: &'static str) -> Operation {
    Operation::post(path).roles(ADMINS).says(says)
}
