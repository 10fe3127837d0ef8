//! Bases that are images of others.

use std::{fs, sync::Arc};

use hangar_image::base::{BaseMaker, BaseSettings, Note, Notes};
use hangar_sandbox::layers::LayerStore;

use crate::oci::{
    judges::{demo, text},
    made::{Bench, Entry, layout, tar},
    pull::{push, registries, registry},
};

fn maker(bench: &Bench, settings: BaseSettings) -> (BaseMaker, Arc<LayerStore>) {
    let data = bench.fresh();
    let store = Arc::new(LayerStore::open(&data).unwrap());
    (BaseMaker::open(&data, Arc::clone(&store), settings).unwrap(), store)
}

fn silent() -> Notes {
    Arc::new(|_: Note| {})
}

#[tokio::test]
async fn an_image_of_a_registry_is_pulled_once_and_again_when_its_tag_moves() {
    let bench = Bench::new();
    let running = registry(&bench);
    let (file, _, layers) = demo(&bench, hangar_image::oci::Squeeze::Gzip);
    push(&running, &format!("oci-archive:{}", text(&file)), "acme/base:1");
    let (maker, store) = maker(&bench, BaseSettings { registries: registries(&running), ..BaseSettings::default() });
    let image = format!("{}/acme/base:1", running.address);
    let digest = maker.pull_digest(&image).await.unwrap();
    let made = maker.pull(&image, &silent()).await.unwrap();
    assert_eq!((made.digest, made.name.as_str(), &made.layers[1..]), (digest, image.as_str(), &layers[..]));
    assert_eq!(made.config.env["PATH"], "/usr/bin");
    let account = fs::read_to_string(store.tree(&made.layers[0]).join("etc/passwd")).unwrap();
    assert_eq!(account, "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n");
    let said = Arc::<std::sync::Mutex<Vec<Note>>>::default();
    let hear = Arc::clone(&said);
    let notes: Notes = Arc::new(move |note| hear.lock().unwrap().push(note));
    assert_eq!(maker.pull(&image, &notes).await.unwrap(), made);
    assert_eq!(*said.lock().unwrap(), [], "it is here already");

    let other = layout(&bench.fresh(), &[tar(&[Entry::file("etc/issue", "another")])]);
    push(&running, &format!("oci:{}", text(&other)), "acme/base:1");
    assert_ne!(maker.pull_digest(&image).await.unwrap(), digest);
    assert_ne!(maker.pull(&image, &notes).await.unwrap().layers, made.layers);
    assert_eq!(maker.records().unwrap().len(), 2);
}

#[tokio::test]
async fn an_archive_is_taken_in_once_and_a_user_of_its_own_stays() {
    let bench = Bench::new();
    let passwd = "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/bash";
    let tree = tar(&[
        Entry::file("etc/passwd", passwd),
        Entry::file("etc/group", "root:x:0:\n"),
        Entry::file("usr/bin/bash", ""),
    ]);
    let at = layout(&bench.fresh(), &[tree]);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all(".", &at).unwrap();
    let file = bench.fresh().join("image.tar");
    fs::write(&file, archive.into_inner().unwrap()).unwrap();
    let (maker, store) = maker(&bench, BaseSettings::default());
    let open = || fs::File::open(&file).unwrap();
    let made = maker.archive(open(), "image.tar", "", &silent()).await.unwrap();
    let account = store.tree(&made.layers[0]);
    assert_eq!(fs::read_to_string(account.join("etc/passwd")).unwrap(), format!("{passwd}\n"));
    assert_eq!(fs::read_to_string(account.join("etc/group")).unwrap(), "root:x:0:\nagent:x:1000:\n");
    assert_eq!(maker.archive(open(), "image.tar", "", &silent()).await.unwrap(), made);
    // Its layers gone, what is written down does not count.
    let keep = hangar_sandbox::layers::Keep {
        at_least: std::time::Duration::ZERO,
        at_most: std::time::Duration::ZERO,
        ..Default::default()
    };
    let removed = store.collect(&Default::default(), &keep).unwrap().removed;
    assert_eq!(removed.len(), 2);
    assert_eq!(maker.records().unwrap(), []);
    assert_eq!(maker.archive(open(), "image.tar", "", &silent()).await.unwrap(), made);
}
