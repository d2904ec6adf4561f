//! `hookward healthcheck`: exit code 0 while the gateway wants traffic, for containers without a shell.

use super::Failure;
use super::client::{Connection, block_on};
use crate::api::wire::Ready;

/// Ask the gateway whether it is ready: exit code 0 if it is, 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
}

/// Says nothing where all is well.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    let (status, body) = block_on(client.readyz())?;
    let reasons = serde_json::from_slice::<Ready>(&body).map(|ready| ready.reasons.join("; "));
    match (status, reasons) {
        (200, Ok(_)) => Ok(()),
        (_, Ok(reasons)) => Err(Failure::Failed(format!("not ready: {reasons}"))),
        (status, Err(_)) => Err(Failure::Failed(format!("what answers is no gateway: status {status}"))),
    }
}
