//! The whole gateway, seen from outside: what DESIGN.md promises to senders, destinations and operators.

mod bounds;
mod bytes;
mod deliveries;
mod duplicates;
mod encrypted;
mod frozen;
mod guard_order;
mod hand_over;
mod held;
mod isolation;
mod paused;
mod reload;
mod secrets;
mod shutdown;
mod signatures;
mod statuses;
mod torn;
