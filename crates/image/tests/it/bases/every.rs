//! Every kind of base, as a build of images asks for it, from somebody's repository.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, sync::Arc};

use hangar_image::{
    BaseKind, Bases, BuildLog, Closed, SetupNetwork, Target,
    base::{BaseMaker, BaseSettings, EveryBase},
    host,
    recipe::BaseChoice,
};
use hangar_sandbox::{Engine, EngineConfig, layers::LayerStore};

use crate::oci::made::{Bench, Entry, layout, tar};

fn network() -> SetupNetwork {
    SetupNetwork { target: Target::of("acme/app".parse().unwrap()), allow: vec![] }
}

fn dockerfile(path: &str, context: &str) -> BaseChoice {
    BaseChoice::Dockerfile { path: path.into(), context: context.into(), target: String::new(), args: BTreeMap::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn bases_come_from_a_repository_and_never_from_beside_it() {
    let bench = Bench::new();
    let data = bench.fresh();
    let store = Arc::new(LayerStore::open(&data).unwrap());
    let maker = BaseMaker::open(&data, Arc::clone(&store), BaseSettings::default()).unwrap();
    let engine = Engine::new(EngineConfig { slots: 0, ..EngineConfig::new(&data) }).await.unwrap();
    let bases = EveryBase::new(maker, engine, Arc::new(Closed), &[]);
    let (checkout, outside) = (bench.fresh(), bench.fresh());
    let archive = {
        let at = layout(&bench.fresh(), &[tar(&[Entry::file("usr/bin/program", "x")])]);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", &at).unwrap();
        archive.into_inner().unwrap()
    };
    fs::create_dir(checkout.join("context")).unwrap();
    for (directory, name, content) in [
        (&checkout, "image.tar", archive.as_slice()),
        (&outside, "image.tar", archive.as_slice()),
        (&checkout, "Dockerfile", b"FROM scratch\nCOPY . /app/\n"),
        (&outside, "Dockerfile", b"FROM scratch\nCOPY . /app/\n"),
        (&checkout, "Dockerfile.dockerignore", b"secret\n"),
        (&checkout, "context/file", b"content"),
        (&checkout, "context/secret", b"secret"),
    ] {
        fs::write(directory.join(name), content).unwrap();
    }
    symlink(&outside, checkout.join("out")).unwrap();
    symlink(outside.join("Dockerfile"), checkout.join("Dockerlink")).unwrap();
    let prepare = async |choice: &BaseChoice| {
        let log = BuildLog::default();
        let made = bases.prepare(choice, Path::new(&checkout), network(), &log).await;
        (made, log.read(0, 100_000).0)
    };

    let (made, _) = prepare(&BaseChoice::Host).await;
    assert_eq!(made.unwrap(), host(&[]));
    let (made, log) = prepare(&BaseChoice::Archive { path: "image.tar".into() }).await;
    let made = made.unwrap();
    assert_eq!((made.kind, made.layers.len()), (BaseKind::Tree, 2));
    assert!(made.env.contains_key("PATH") && log.contains("unpack layer 1 of 1"), "{log}");
    let (made, log) = prepare(&dockerfile("Dockerfile", "context")).await;
    let made = made.unwrap();
    let trees: Vec<_> = made.layers.iter().map(|layer| store.tree(layer)).collect();
    assert!(trees.iter().any(|tree| tree.join("app/file").exists()));
    assert!(!trees.iter().any(|tree| tree.join("app/secret").exists()));
    assert!(log.contains("COPY . /app/"), "{log}");

    for choice in [
        BaseChoice::Archive { path: "out/image.tar".into() },
        BaseChoice::Archive { path: "context".into() },
        BaseChoice::Archive { path: "missing.tar".into() },
        dockerfile("Dockerlink", ""),
        dockerfile("out/Dockerfile", ""),
        dockerfile("Dockerfile", "out"),
        dockerfile("Dockerfile", "Dockerfile"),
        BaseChoice::Debian { suite: "--help".into(), packages: vec![] },
    ] {
        let (made, _) = prepare(&choice).await;
        let error = made.expect_err(&format!("{choice:?}")).to_string();
        assert!(error.contains("correct the recipe") || error.contains("code name"), "{choice:?}: {error}");
    }
    assert_eq!(bases.digest(&dockerfile("Dockerfile", "")).await.unwrap(), None);
    assert!(bases.digest(&BaseChoice::Debian { suite: String::new(), packages: vec![] }).await.unwrap().is_some());
}
