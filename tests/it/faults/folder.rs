//! F12: a store that belongs to somebody else.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::support::{Gateway, Sender, Sink, appmint_to, event};

/// Nobody's number on every Linux.
const NOBODY: u32 = 65534;

/// A gateway that anybody may start, with this store.
fn prepare(sink: &Sink) -> Gateway {
    let mut gateway = Gateway::prepare(&appmint_to(&[("crm", sink)]));
    let folder = gateway.folder().to_owned();
    set_mode(&folder, 0o755);
    let binary = folder.join("hookward");
    std::fs::copy(env!("CARGO_BIN_EXE_hookward"), &binary).unwrap();
    gateway.binary(&binary);
    gateway
}

fn as_nobody(gateway: &mut Gateway) {
    let nobody = NOBODY.to_string();
    gateway.under(["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"].map(str::to_owned).to_vec());
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// It ends at once, with the path and what to look at.
async fn is_refused(gateway: &mut Gateway, path: &Path) {
    gateway.spawn();
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(1), "{}", gateway.log());
    let log = gateway.log();
    let named = log.contains(path.to_str().unwrap()) && log.contains("belongs to this user");
    assert!(named && log.contains("Permission denied"), "{log}");
}

#[tokio::test]
async fn f12_a_folder_of_somebody_else_is_named() {
    let sink = Sink::start().await;
    let mut gateway = prepare(&sink);
    let store = gateway.store().to_owned();
    std::fs::create_dir(&store).unwrap();
    as_nobody(&mut gateway);
    for mode in [0o700, 0o755] {
        set_mode(&store, mode);
        is_refused(&mut gateway, &store).await;
        assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "nothing was made there");
    }
    // Mended as it says, it works.
    chown(&store, Some(NOBODY), Some(NOBODY)).unwrap();
    gateway.run().await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await.status, 200);
}

#[tokio::test]
async fn f12_files_of_somebody_else_in_a_folder_of_ours_are_named_and_left_alone() {
    let sink = Sink::start().await;
    let mut gateway = prepare(&sink);
    let store = gateway.store().to_owned();
    gateway.run().await;
    assert_eq!(Sender::new(&gateway).send(&event("evt_1", "payment.succeeded")).await.status, 200);
    gateway.terminate();
    assert!(gateway.ended().await.success());
    // As after a restore by root that forgot the files.
    let journal = store.join("journal");
    for folder in [&store, &journal] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let before = std::fs::read(journal.join("0000000001.journal")).unwrap();
    as_nobody(&mut gateway);
    is_refused(&mut gateway, &store).await;
    assert_eq!(std::fs::read(journal.join("0000000001.journal")).unwrap(), before);
}
