//! Whole images over bases that are trees of their own: built through the catalog, run as a session would, carried to another hangar.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use hangar_image::{Adopted, BaseKind, BuildEnd, ExchangeError, Image, oci::Squeeze};

use crate::{
    oci::made::layout,
    world::{World, ended, output, target},
};

const HANGAR: &str = ".hangar/environment.toml";
/// Enough of a system for a clone, a set-up and a session.
const PROGRAMS: &[&str] = &[
    "bash", "cat", "chmod", "cp", "env", "git", "id", "ls", "mkdir", "rm", "sed", "sleep", "sort", "test", "touch",
    "true",
];

/// A small system out of this machine's programs and the libraries they need.
fn small_system(at: &Path) {
    let found = |program: &str| {
        ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
    };
    for program in PROGRAMS {
        let path = found(program).unwrap_or_else(|| panic!("this machine has no {program}"));
        put(&path, &at.join("usr/bin").join(program));
        let said = Command::new("ldd").arg(&path).output().unwrap();
        for word in String::from_utf8_lossy(&said.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
            put(Path::new(word), &at.join(word.trim_start_matches('/')));
        }
    }
    put(&at.join("usr/bin/bash"), &at.join("usr/bin/sh"));
    std::os::unix::fs::symlink("usr/bin", at.join("bin")).unwrap();
    fs::create_dir_all(at.join("etc")).unwrap();
    fs::write(at.join("etc/system"), "small\n").unwrap();
}

/// Copies what a path leads to, unless it was.
fn put(from: &Path, to: &Path) {
    if !to.exists() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// The same as an archive that `docker save` or skopeo would have written.
fn archive(world: &World, system: &Path) -> PathBuf {
    let mut tree = tar::Builder::new(Vec::new());
    tree.follow_symlinks(false);
    tree.append_dir_all(".", system).unwrap();
    let layout = layout(&world.directory.path().join("layout"), &[tree.into_inner().unwrap()]);
    let file = world.directory.path().join("base.tar");
    let mut whole = tar::Builder::new(fs::File::create(&file).unwrap());
    whole.append_dir_all(".", &layout).unwrap();
    whole.finish().unwrap();
    file
}

/// What a session over the image finds.
async fn looked_at(world: &World, image: &Image, name: &str, script: &str) -> String {
    let sandbox = world.sandbox(image, name).await;
    let said = output(&sandbox, script).await;
    sandbox.destroy().await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_over_an_archive_and_comes_back_as_itself_elsewhere() {
    let world = World::new().await;
    let app = target("team/app");
    let system = world.directory.path().join("system");
    small_system(&system);
    let base = archive(&world, &system);
    world.repos.put("team/app", "base.tar", &base);
    let recipe = "base = { archive = 'base.tar' }\nsetup = ['mkdir -p ~/made; cp a.txt ~/made/']\nverify = 'test -f ~/made/a.txt'\n[env]\nMODE = 'dev'\n";
    let commit = world.repos.commit("team/app", &[(HANGAR, recipe), ("a.txt", "one\n")]);
    let image = world.built(&app).await;
    assert_eq!((image.base.kind, image.base.name.as_str()), (BaseKind::Tree, "base.tar"));
    assert_eq!((image.base.layers.len(), image.own_layers().len()), (2, 2), "system and account; clone and set-up");
    let look = "cat /etc/system ~/made/a.txt; id -un; git rev-parse HEAD; git status --short; echo $MODE; ls /usr/bin/python3 /home/agent/.cargo 2>&1 | sed 's/.*: //'";
    let expected = format!("small\none\nagent\n{commit}\ndev\nNo such file or directory\nNo such file or directory\n");
    assert_eq!(looked_at(&world, &image, "look", look).await, expected, "nothing of the machine is there");

    // The next commit is built on top; the base is the same layers.
    let newer = world.repos.commit("team/app", &[("a.txt", "two\n")]);
    let second = world.built(&app).await;
    assert_eq!((second.parent.as_ref(), &second.base), (Some(&image.id), &image.base));
    assert_eq!(
        looked_at(&world, &second, "next", "cat ~/made/a.txt; git rev-parse HEAD").await,
        format!("two\n{newer}\n")
    );
    assert_eq!(ended(&world.build(&app).await).await, BuildEnd::Unchanged);

    travels(&world, &second, "cat /etc/system ~/made/a.txt; id -un", "small\ntwo\nagent\n").await;
    world.tidy().await;
    world.end().await;
}

/// Gives an image out, takes it in at another hangar, and looks at it there.
async fn travels(here: &World, image: &Arc<Image>, script: &str, expected: &str) {
    let there = World::new().await;
    let given = here.images.export(&image.id, Squeeze::Zstd).await.unwrap();
    assert_eq!(given.image, **image);
    let bring = async |change: &dyn Fn(&mut Vec<u8>)| {
        let coming = there.images.coming_in().unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut given.file.try_clone().unwrap(), &mut bytes).unwrap();
        std::io::Seek::rewind(&mut given.file.try_clone().unwrap()).unwrap();
        change(&mut bytes);
        fs::write(coming.file(), bytes).unwrap();
        coming.read().await
    };
    let came = bring(&|_| {}).await.unwrap();
    assert_eq!((came.image(), there.images.list().len()), (image, 0), "not before it is adopted");
    assert_eq!(came.adopt().await.unwrap(), Adopted::New);
    assert_eq!(there.images.newest(&image.target).unwrap().id, image.id);
    assert_eq!(bring(&|_| {}).await.unwrap().adopt().await.unwrap(), Adopted::Known);
    assert_eq!(there.images.list().len(), 1);
    let arrived = there.images.newest(&image.target).unwrap();
    assert_eq!(looked_at(&there, &arrived, "arrived", script).await, expected);

    // Half of it, and one whose bytes are others, are none.
    for change in [(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)) as fn(&mut Vec<u8>), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }] {
        let error = bring(&change).await.map(drop).unwrap_err();
        assert!(matches!(error, ExchangeError::Oci(_)), "{error}");
    }
    drop(given);
    for world in [here, &there] {
        let folder = world.data().join("images/exchange");
        crate::world::until("nothing is left of an exchange", || fs::read_dir(&folder).unwrap().next().is_none()).await;
    }
    // It is still there after a start.
    let World { engine, store, images, repos, directory } = there;
    images.close().await;
    engine.close();
    drop((engine, store, images));
    let (engine, _, images) = crate::world::open(&directory.path().join("data"), &repos, |_| {}).await;
    assert_eq!(images.newest(&image.target).unwrap().id, image.id);
    images.close().await;
    engine.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_over_a_dockerfile_of_the_repository() {
    let world = World::new().await;
    let app = target("team/app");
    let system = world.directory.path().join("system");
    small_system(&system);
    world.repos.put("team/app", "docker/system", &system);
    let dockerfile = "FROM scratch\nCOPY system /\nENV FLAVOUR=plain\nRUN echo run by root > /etc/made && chmod 600 /etc/made && chmod 644 /etc/made\n";
    let recipe = "base = { dockerfile = 'docker/Dockerfile', context = 'docker' }\nsetup = ['cat /etc/made > ~/seen']\nstart = ['true']\n";
    world.repos.commit("team/app", &[(HANGAR, recipe), ("docker/Dockerfile", dockerfile), ("a.txt", "one\n")]);
    let image = world.built(&app).await;
    assert_eq!(image.base.kind, BaseKind::Tree);
    let look = "cat ~/seen /etc/system; echo $FLAVOUR; ls -ln /etc/made | sed 's/ *[0-9]* .*//'; id -u";
    assert_eq!(looked_at(&world, &image, "look", look).await, "run by root\nsmall\nplain\n-rw-r--r--\n1000\n");

    // Files of the context are part of the base: other ones make another base, and so an image that begins afresh.
    let dockerfile = dockerfile.replace("run by root", "run again");
    world.repos.commit("team/app", &[("docker/Dockerfile", &dockerfile)]);
    let second = world.built(&app).await;
    assert!(second.base.digest != image.base.digest && second.parent.is_none(), "{:?}", second.parent);
    assert_eq!(looked_at(&world, &second, "next", "cat ~/seen").await, "run again\n");
    world.tidy().await;
    world.end().await;
}
