//! The sending side: webhooks of customers, emitted events, signed deliveries, and that projects do not meet.

mod deliveries;
mod emission;
mod webhooks;
mod world;
