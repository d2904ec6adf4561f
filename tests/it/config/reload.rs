//! The configuration again while it runs: every way in which files change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use hookward::config::{self, Checked, Reloaded, Reloads};
use tempfile::TempDir;
use tokio::time::timeout;

/// Far more than it takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn text(path: &str) -> String {
    format!("sources: {{ a: {{ path: {path}, verify: {{ scheme: none }} }} }}\n")
}

fn watch(file: &Path) -> Reloads {
    Reloads::watch(config::load(file).unwrap()).unwrap()
}

async fn next(reloads: &mut Reloads) -> Reloaded {
    timeout(PATIENCE, reloads.next()).await.expect("a change is noticed")
}

async fn changed(reloads: &mut Reloads) -> std::sync::Arc<Checked> {
    match next(reloads).await {
        Reloaded::Changed(checked) => checked,
        other => panic!("{other:?}"),
    }
}

async fn refused(reloads: &mut Reloads) -> String {
    match next(reloads).await {
        Reloaded::Refused(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn folder_with(text: &str) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = super::file(&folder, text);
    (folder, file)
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_loaded() {
    let (_folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    fs::write(&file, text("/two")).unwrap();
    assert_eq!(&*changed(&mut reloads).await.sources[0].path, "/two");
}

#[tokio::test]
async fn a_file_that_is_put_in_its_place_is_loaded() {
    let (folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    for path in ["/two", "/three"] {
        let new = folder.path().join("new");
        fs::write(&new, text(path)).unwrap();
        fs::rename(&new, &file).unwrap();
        assert_eq!(&*changed(&mut reloads).await.sources[0].path, path);
    }
}

/// As the kubelet does it: the file is a link into `..data`, which is a link that is swapped.
#[tokio::test]
async fn a_swapped_symbolic_link_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, path: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("hookward.yaml"), text(path)).unwrap();
    };
    let swap = |to: &str| {
        symlink(to, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    version("..1", "/one");
    swap("..1");
    let file = folder.path().join("hookward.yaml");
    symlink("..data/hookward.yaml", &file).unwrap();
    let mut reloads = watch(&file);
    for (name, old, path) in [("..2", "..1", "/two"), ("..3", "..2", "/three")] {
        version(name, path);
        swap(name);
        fs::remove_dir_all(folder.path().join(old)).unwrap();
        assert_eq!(&*changed(&mut reloads).await.sources[0].path, path);
    }
}

#[tokio::test]
async fn a_secret_file_and_a_list_of_addresses_count_too() {
    let secrets = tempfile::tempdir().unwrap();
    let at = |name: &str| secrets.path().join(name);
    fs::write(at("secret"), "one\n").unwrap();
    fs::write(at("list"), "10.0.0.0/8\n").unwrap();
    let (_folder, file) = folder_with(&format!(
        "sources: {{ a: {{ path: /a, allow_ips: {{ file: {} }}, verify: {{ scheme: appmint, secrets: [{{ file: {} }}] }} }} }}\n",
        at("list").display(),
        at("secret").display()
    ));
    let mut reloads = watch(&file);
    fs::write(at("secret"), "two\n").unwrap();
    assert_eq!(changed(&mut reloads).await.sources[0].signature.secrets[0].expose(), b"two");
    fs::write(at("list"), "10.0.0.0/8\n192.0.2.1\n").unwrap();
    assert_eq!(changed(&mut reloads).await.sources[0].allow_ips.as_ref().unwrap().networks.len(), 2);
    fs::remove_file(at("secret")).unwrap();
    assert!(refused(&mut reloads).await.contains("cannot use the file"));
    fs::write(at("secret"), "three\n").unwrap();
    assert_eq!(changed(&mut reloads).await.sources[0].signature.secrets[0].expose(), b"three");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_with_its_place() {
    let (_folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    fs::write(&file, text("two")).unwrap();
    let error = refused(&mut reloads).await;
    assert!(error.contains("hookward.yaml:1:23") && error.contains("not a path"), "{error}");
    // Back to what runs: nothing to apply, and all is well again.
    fs::write(&file, text("/one")).unwrap();
    assert!(matches!(next(&mut reloads).await, Reloaded::Unchanged));
    fs::write(&file, text("/three")).unwrap();
    assert_eq!(&*changed(&mut reloads).await.sources[0].path, "/three");
}

#[tokio::test]
async fn an_emptied_and_a_removed_file_change_nothing() {
    let (_folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    fs::write(&file, "").unwrap();
    assert!(refused(&mut reloads).await.contains("there are no sources"));
    fs::remove_file(&file).unwrap();
    assert!(refused(&mut reloads).await.contains("cannot read the configuration"));
    fs::write(&file, text("/two")).unwrap();
    assert_eq!(&*changed(&mut reloads).await.sources[0].path, "/two");
}

#[tokio::test]
async fn what_says_the_same_is_no_news() {
    let (_folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    fs::write(&file, format!("# a comment\n{}", text("/one"))).unwrap();
    // The comment is passed over in silence: after it only SIGHUP is answered.
    let comment = timeout(Duration::from_secs(1), reloads.next()).await;
    assert!(comment.is_err(), "{comment:?}");
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    assert!(matches!(next(&mut reloads).await, Reloaded::Unchanged));
}

#[tokio::test]
async fn sighup_loads_what_nobody_noticed() {
    // Across a link to another folder's link, whose target changes where nobody looks.
    let (far, real) = folder_with(&text("/one"));
    let near = tempfile::tempdir().unwrap();
    let middle = tempfile::tempdir().unwrap();
    symlink(&real, middle.path().join("middle")).unwrap();
    let file = near.path().join("near.yaml");
    symlink(middle.path().join("middle"), &file).unwrap();
    let mut reloads = watch(&file);
    let other = far.path().join("other");
    fs::write(&other, text("/two")).unwrap();
    let link = middle.path().join("link");
    symlink(&other, &link).unwrap();
    fs::rename(&link, middle.path().join("middle")).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    assert_eq!(&*changed(&mut reloads).await.sources[0].path, "/two");
}

#[tokio::test]
async fn ports_and_store_cannot_change_while_it_runs() {
    let (_folder, file) = folder_with(&text("/one"));
    let mut reloads = watch(&file);
    for (line, key) in [
        ("ingress: { listen: '127.0.0.1:1' }\n", "ingress.listen cannot change"),
        ("admin: { listen: '127.0.0.1:2' }\n", "admin.listen cannot change"),
        ("store: { path: ./elsewhere }\n", "store cannot change"),
        (
            "ingress: { listen: '127.0.0.1:1' }\nstore: { durability: relaxed }\n",
            "ingress.listen and store cannot change",
        ),
    ] {
        fs::write(&file, format!("{line}{}", text("/two"))).unwrap();
        let error = refused(&mut reloads).await;
        assert!(error.contains(key) && error.contains("restart the gateway"), "{error}");
    }
    let longer = "sources: { a: { path: /two, verify: { scheme: none }, dedup: { window: 97h, by: body } } }\n";
    fs::write(&file, longer).unwrap();
    let error = refused(&mut reloads).await;
    assert!(error.contains("a dedup.window that is longer than all were at the start cannot change"), "{error}");
    fs::write(&file, format!("ingress: {{ drain_timeout: 1s }}\n{}", text("/two"))).unwrap();
    let checked = changed(&mut reloads).await;
    assert_eq!((checked.ingress.drain_timeout, &*checked.sources[0].path), (Duration::from_secs(1), "/two"));
}
