//! Stock git, without any credential, against the broker of one sandbox.

use hangar_forge::broker::{Broker, BrokerReport, Grant, RepoGrant, serve_border};
use hangar_forge::{CommitId, PullFilter};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::house::{House, commit, git, path, person, try_git, write};

pub(crate) struct Border {
    pub(crate) base: String,
    reports: mpsc::Receiver<BrokerReport>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

pub(crate) async fn border(house: &House) -> Border {
    let grant = Grant {
        session: "s1".into(),
        repos: vec![RepoGrant { repo: path("acme/web"), branch: "hangar/s1".parse().unwrap() }],
    };
    let (send, reports) = mpsc::channel(8);
    let (_, user) = watch::channel(person("bob", 2));
    let broker = Broker::new(house.forge.clone(), grant, user, send);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve_border(listener, broker, async {
        let _ = stopped.await;
    }));
    Border { base, reports, stop, server }
}

#[tokio::test]
async fn a_sandbox_fetches_its_repository_and_pushes_its_branch() {
    let house = House::build().await;
    house.web().await;
    let mut border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    git(&dir, &["checkout", "-q", "-b", "hangar/s1"]).await;
    write(&dir, "work.txt", "done\n");
    commit(&dir, "bob", "Work").await;
    let sha: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    git(&dir, &["push", "-q", "origin", "HEAD"]).await;
    let pushed = |branch: &str, old: CommitId, new: CommitId| BrokerReport::Pushed {
        repo: path("acme/web"),
        branch: branch.parse().unwrap(),
        old,
        new,
    };
    // The report is there before git's push has ended, so no waiting here.
    assert_eq!(border.reports.try_recv().unwrap(), pushed("hangar/s1", CommitId::zero(), sha.clone()));
    write(&dir, "work.txt", "done well\n");
    git(&dir, &["reset", "-q", "--soft", "HEAD^"]).await;
    commit(&dir, "bob", "Work, better").await;
    let better: CommitId = git(&dir, &["rev-parse", "HEAD"]).await.out.parse().unwrap();
    git(&dir, &["push", "-q", "--force", "origin", "HEAD"]).await;
    assert_eq!(border.reports.try_recv().unwrap(), pushed("hangar/s1", sha, better.clone()));
    assert_eq!(house.forge.resolve(&path("acme/web"), "hangar/s1").await.unwrap(), better);
    // Nothing new: git says so and the session hears nothing.
    assert!(git(&dir, &["push", "origin", "HEAD"]).await.err.contains("Everything up-to-date"));
    assert!(border.reports.try_recv().is_err());
    drop(border.stop);
    border.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn everything_else_is_refused_with_words_for_the_agent() {
    let house = House::build().await;
    house.web().await;
    let mut border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    write(&dir, "work.txt", "done\n");
    commit(&dir, "bob", "Work").await;
    let before = house.forge.branches(&path("acme/web")).await.unwrap();
    let pushes: [&[&str]; 6] = [
        &["HEAD:main"],
        &["HEAD:refs/heads/hangar/s2"],
        &["HEAD:refs/heads/hangar/s10"],
        &["HEAD:refs/tags/v1"],
        &["HEAD:refs/heads/hangar/s1", "HEAD:refs/heads/main"],
        &["HEAD:refs/notes/x"],
    ];
    for push in pushes {
        let args: Vec<&str> = ["push", "origin"].into_iter().chain(push.iter().copied()).collect();
        let refused = try_git(&dir, &args, &[]).await;
        assert!(!refused.ok, "{push:?}");
        assert!(
            refused.err.contains("remote: Commit your work and run: git push origin HEAD:refs/heads/hangar/s1"),
            "{}",
            refused.err
        );
        assert!(refused.err.contains("[remote rejected]"), "{}", refused.err);
        match border.reports.try_recv().unwrap() {
            BrokerReport::Refused { what, .. } => assert!(what.starts_with("push refs/"), "{what}"),
            BrokerReport::Pushed { .. } => panic!("nothing was to be pushed"),
        }
    }
    assert_eq!(house.forge.branches(&path("acme/web")).await.unwrap(), before);
    git(&dir, &["push", "-q", "origin", "HEAD:refs/heads/hangar/s1"]).await;
    assert!(matches!(border.reports.try_recv().unwrap(), BrokerReport::Pushed { .. }));
    let deletion = try_git(&dir, &["push", "origin", ":hangar/s1"], &[]).await;
    assert!(!deletion.ok && deletion.err.contains("remote: A session cannot delete branches."), "{}", deletion.err);
    for url in ["/acme/other.git", "/other/web.git"] {
        let refused = try_git(&dir, &["ls-remote", &format!("{}{url}", border.base)], &[]).await;
        assert!(
            refused.err.contains("remote: This session has no access to that repository. It may use: acme/web."),
            "{}",
            refused.err
        );
    }
    // No way to the REST API, to merge or approve: not with a token either.
    for route in ["/api/v3/repos/acme/web/pulls/1/merge", "/", "/acme/web.git/objects/info/packs", "/acme/web.git/HEAD"]
    {
        let response = reqwest::Client::new()
            .put(format!("{}{route}", border.base))
            .bearer_auth("tok_alice")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 403, "{route}");
        assert!(response.text().await.unwrap().starts_with("Only git is served here"));
    }
    assert!(house.forge.pulls(&path("acme/web"), PullFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_reads_no_reports_cannot_lose_a_push_nor_stall_on_refusals() {
    let house = House::build().await;
    house.web().await;
    let mut border = border(&house).await;
    let dir = house.dir("box");
    git(&dir, &["clone", "-q", &format!("{}/acme/web.git", border.base), "."]).await;
    for _ in 0..20 {
        let refused =
            reqwest::get(format!("{}/none/none.git/info/refs?service=git-upload-pack", border.base)).await.unwrap();
        assert_eq!(refused.status(), 403);
    }
    // The channel is full of refusals; the push waits for room.
    write(&dir, "work.txt", "done\n");
    commit(&dir, "bob", "Work").await;
    let push = git(&dir, &["push", "-q", "origin", "HEAD:refs/heads/hangar/s1"]);
    let read = async {
        loop {
            if let BrokerReport::Pushed { branch, .. } = border.reports.recv().await.unwrap() {
                return branch;
            }
        }
    };
    let (_, branch) = tokio::join!(push, read);
    assert_eq!(branch.as_str(), "hangar/s1");
}

#[tokio::test]
async fn a_sandbox_has_only_so_many_connections() {
    let limits = hangar_forge::Limits { sandbox_connections_max: 2, ..hangar_forge::Limits::default() };
    let house = House::build_with(limits).await;
    house.web().await;
    let border = border(&house).await;
    let address = border.base.strip_prefix("http://").unwrap();
    let first = tokio::net::TcpStream::connect(address).await.unwrap();
    let _second = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut third = Box::pin(reqwest::get(format!("{}/acme/web.git/info/refs?service=git-upload-pack", border.base)));
    let waits = tokio::time::timeout(std::time::Duration::from_millis(200), &mut third).await;
    assert!(waits.is_err(), "the third has no place yet");
    drop(first);
    assert_eq!(third.await.unwrap().status(), 200);
}
