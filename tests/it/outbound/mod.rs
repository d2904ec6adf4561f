//! The sending side: webhooks of customers, emitted events, signed deliveries, and that projects do not meet.

mod deliveries;
mod docs;
mod emission;
mod health;
mod loss;
mod projects;
mod receivers;
mod settings;
mod several;
mod webhooks;
mod world;
