//! Bringing code in.

use hangar_forge::{ForgeError, ImportSource, NewRepo, Signature};

use crate::house::{House, commit, git, path, write};

fn new(name: &str) -> NewRepo {
    NewRepo { path: path(name), description: String::new() }
}

fn author() -> Signature {
    Signature { name: "Ann Author".into(), email: "ann@example.com".into() }
}

fn detect(dir: &std::path::Path) -> ImportSource {
    ImportSource::detect(dir.to_str().unwrap(), author(), "Import tiny 1.0".into())
}

#[tokio::test]
async fn a_repository_comes_with_its_branches_and_tags() {
    let house = House::build().await;
    let dir = house.dir("theirs");
    git(&dir, &["init", "-q", "-b", "trunk"]).await;
    write(&dir, "a.txt", "a\n");
    commit(&dir, "alice", "One").await;
    git(&dir, &["tag", "v1"]).await;
    git(&dir, &["branch", "side"]).await;
    git(&dir, &["update-ref", "refs/stash", "HEAD"]).await;
    let repo = house.forge.import(new("acme/theirs"), detect(&dir)).await.unwrap();
    assert_eq!(repo.default_branch.as_str(), "trunk");
    let refs =
        git(&house.root.path().join("forge/repos/acme/theirs.git"), &["for-each-ref", "--format=%(refname)"]).await.out;
    assert_eq!(refs, "refs/heads/side\nrefs/heads/trunk\nrefs/tags/v1");
    let clone = house.clone("ron", "acme/theirs", "clone").await;
    assert_eq!(std::fs::read_to_string(clone.join("a.txt")).unwrap(), "a\n");
    // From its own address over HTTP too: another forge, as far as this one knows.
    let url = ImportSource::Url(house.url("ron", "acme/theirs"));
    let again = house.forge.import(new("acme/again"), url).await.unwrap();
    assert_eq!(house.forge.branches(&again.path).await.unwrap(), house.forge.branches(&repo.path).await.unwrap());
}

#[tokio::test]
async fn a_plain_directory_becomes_a_first_commit() {
    let house = House::build().await;
    let dir = house.dir("plain");
    write(&dir, "src/lib.rs", "// hi\n");
    write(&dir, ".gitignore", "target\n");
    write(&dir, "target/junk", "x");
    std::os::unix::fs::symlink("src/lib.rs", dir.join("link")).unwrap();
    let repo = house.forge.import(new("acme/plain"), detect(&dir)).await.unwrap();
    let clone = house.clone("ron", "acme/plain", "clone").await;
    assert_eq!(git(&clone, &["ls-files"]).await.out, ".gitignore\nlink\nsrc/lib.rs");
    assert_eq!(
        git(&clone, &["log", "--format=%an <%ae> %cn %s"]).await.out,
        "Ann Author <ann@example.com> Ann Author Import tiny 1.0"
    );
    assert_eq!(repo.default_branch.as_str(), "main");
    assert!(!dir.join(".git").exists());
    assert!(!house.root.path().join("forge/repos/acme/plain.git/index").exists());
}

#[tokio::test]
async fn what_cannot_be_imported_leaves_nothing() {
    let house = House::build().await;
    house.web().await;
    let empty = house.dir("empty");
    let barren = house.dir("barren");
    git(&barren, &["init", "-q"]).await;
    let torn = house.dir("torn");
    git(&torn, &["init", "-q"]).await;
    write(&torn, "a.txt", "a\n");
    commit(&torn, "alice", "One").await;
    std::fs::remove_dir_all(torn.join(".git/objects")).unwrap();
    std::fs::create_dir(torn.join(".git/objects")).unwrap();
    let none = house.root.path().join("none");
    for dir in [&empty, &barren, &torn, &none] {
        match house.forge.import(new("acme/bad"), detect(dir)).await {
            Err(ForgeError::Import { why, .. }) => assert!(!why.is_empty()),
            other => panic!("{}: {other:?}", dir.display()),
        }
    }
    for url in ["ssh://example.com/x.git", "ext::sh -c true", "file:///etc", "http://127.0.0.1:9/x.git"] {
        let source =
            if url.contains("://") { ImportSource::Url(url.into()) } else { detect(std::path::Path::new(url)) };
        assert!(matches!(house.forge.import(new("acme/bad"), source).await, Err(ForgeError::Import { .. })), "{url}");
    }
    assert!(matches!(house.forge.import(new("acme/WEB"), detect(&empty)).await, Err(ForgeError::RepositoryExists(_))));
    assert!(matches!(house.forge.create_repo(new("ACME/web")).await, Err(ForgeError::RepositoryExists(_))));
    assert_eq!(house.forge.repos().await.unwrap().len(), 1);
    let entries = |dir: &str| std::fs::read_dir(house.root.path().join("forge").join(dir)).unwrap().count();
    assert_eq!((entries("incoming"), entries("repos/acme")), (0, 1));
}

#[tokio::test]
async fn names_find_repositories_whatever_their_case() {
    let house = House::build().await;
    house.web().await;
    assert_eq!(house.forge.repo(&path("Acme/WEB")).await.unwrap().path, path("acme/web"));
    let dir = house.clone("ron", "ACME/Web", "clone").await;
    assert!(dir.join("README.md").exists());
}
