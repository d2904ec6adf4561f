//! Gateways on a real `redis-server`: what each setting does, what a fault of the server does, and that several gateways
//! on one server lose and double nothing.

mod cluster;
mod disks;
mod faults;
mod fleet;
mod limits;
mod moving;
mod open;
mod order;
mod paused;
mod recovery;
mod relay;
mod replicas;
mod sentinel;
mod settings;
mod sharing;
