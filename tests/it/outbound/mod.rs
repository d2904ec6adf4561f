//! The sending side: webhooks of customers, emitted events, signed deliveries, and that projects do not meet.

mod deliveries;
mod docs;
mod emission;
mod health;
mod keys;
mod loss;
mod projects;
mod receivers;
mod settings;
mod several;
mod stream;
mod webhooks;
mod world;

pub(crate) use world::SECRETS_KEY;
