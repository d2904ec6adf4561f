//! Where customers' webhooks may lead (RELIABILITY.md S10): names that change their mind, over real sockets.

mod name_server;
mod rebinding;
mod served;
