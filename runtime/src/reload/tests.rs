use std::os::unix::fs::symlink;

use rustix::process::{Signal, getpid, kill_process};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Longer than any reload takes, on a clock that waits for nobody.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weir.yaml");
    fs::write(&file, text).expect("a file");
    (folder, file)
}

async fn requested(reload: &mut Reload) -> Option<Trigger> {
    timeout(PATIENCE, reload.requested()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_file_that_stays_as_it_is_asks_for_nothing() {
    let (_folder, file) = file("a: 1\n");
    let mut reload = Reload::of_file(&file);
    assert_eq!(requested(&mut reload).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_file_written_in_place_is_noticed_once() {
    let (_folder, file) = file("a: 1\n");
    let mut reload = Reload::of_file(&file);
    fs::write(&file, "a: 22\n").expect("a write");
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
    assert_eq!(requested(&mut reload).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_file_replaced_by_one_of_the_same_size_and_time_is_noticed() {
    let (folder, file) = file("a: 1\n");
    let mut reload = Reload::of_file(&file);
    let other = folder.path().join("other");
    fs::write(&other, "a: 2\n").expect("a write");
    let modified = fs::metadata(&file).and_then(|old| old.modified());
    fs::File::open(&other)
        .and_then(|other| other.set_modified(modified?))
        .expect("its time");
    fs::rename(&other, &file).expect("a rename");
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
}

#[tokio::test(start_paused = true)]
async fn a_mounted_config_map_that_changes_is_noticed() {
    // As the kubelet does it: the file is a link through `..data`, which is swapped.
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..v1", "a: 1\n"), ("..v2", "a: 2\n")] {
        fs::create_dir(at(version)).expect("a folder");
        fs::write(at(version).join("weir.yaml"), text).expect("a file");
    }
    symlink("..v1", at("..data")).expect("a link");
    symlink("..data/weir.yaml", at("weir.yaml")).expect("a link");
    let mut reload = Reload::of_file(&at("weir.yaml"));
    symlink("..v2", at("..data_tmp")).expect("a link");
    fs::rename(at("..data_tmp"), at("..data")).expect("a rename");
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_only_when_its_writer_has_finished() {
    let (_folder, file) = file("a: 1\n");
    let mut reload = Reload::of_file(&file);
    let to = file.clone();
    let writer = tokio::spawn(async move {
        for lines in 1..=100 {
            fs::write(&to, "b: 1\n".repeat(lines)).expect("a write");
            sleep(SETTLES_WITHIN / 2).await;
        }
    });
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
    assert_eq!(fs::metadata(&file).expect("a file").len(), 500);
    writer.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_goes_and_comes_back_is_noticed_both_times() {
    let (_folder, file) = file("a: 1\n");
    let mut reload = Reload::of_file(&file);
    fs::remove_file(&file).expect("to remove it");
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
    fs::write(&file, "a: 1\n").expect("a write");
    assert_eq!(requested(&mut reload).await, Some(Trigger::File));
}

#[tokio::test]
async fn a_hangup_asks_to_read_the_file_again() {
    let (_folder, file) = file("a: 1\n");
    let mut reload = Reload::watch(&file).expect("a signal");
    kill_process(getpid(), Signal::HUP).expect("a signal to this process");
    assert_eq!(reload.requested().await, Trigger::Signal);
}
