//! The client against the forge's own API.

use hangar_forge::client::{ClientError, PullWish, RestClient, Verdict};
use hangar_forge::{CheckState, MergeMethod, Token};

use crate::house::{House, path};

#[tokio::test]
async fn the_client_opens_reviews_and_merges() {
    let house = House::build().await;
    house.web().await;
    let sha = house.push_branch("bob", "hangar/s1", "c.txt", "c\n").await;
    let repo = path("acme/web");
    let client = RestClient::new(&format!("{}/api/v3", house.base)).unwrap();
    let (bob, alice) =
        (client.as_user(&Token::new("tok_bob")).unwrap(), client.as_user(&Token::new("tok_alice")).unwrap());
    assert_eq!(bob.me().await.unwrap().login, "bob");
    let info = bob.repo(&repo).await.unwrap();
    assert_eq!((info.default_branch.as_deref(), info.permissions.unwrap().push), (Some("main"), true));
    let head = "hangar/s1".parse().unwrap();
    assert_eq!(bob.open_pull_of(&repo, &head).await.unwrap(), None);
    let wish = PullWish {
        title: "C".into(),
        body: "Because".into(),
        head: head.clone(),
        base: "main".parse().unwrap(),
        draft: false,
    };
    let pull = bob.create_pull(&repo, &wish).await.unwrap();
    assert_eq!((pull.user.as_ref().unwrap().login.as_str(), pull.head.sha.as_str()), ("bob", sha.as_str()));
    assert_eq!(bob.open_pull_of(&repo, &head).await.unwrap().unwrap().number, pull.number);
    match bob.create_pull(&repo, &wish).await {
        Err(ClientError::Refused { status: 422, errors, .. }) => {
            assert_eq!(errors, ["A pull request already exists for acme:hangar/s1."])
        }
        other => panic!("{other:?}"),
    }
    match bob.review(&repo, pull.number, Verdict::Approve, "").await {
        Err(ClientError::Refused { status: 422, errors, .. }) => {
            assert_eq!(errors, ["Can not approve your own pull request"])
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(alice.review(&repo, pull.number, Verdict::Approve, "Good").await.unwrap().state, "APPROVED");
    assert_eq!(alice.reviews(&repo, pull.number).await.unwrap().len(), 1);
    alice.comment(&repo, pull.number, "Thanks").await.unwrap();
    assert_eq!(bob.comments(&repo, pull.number).await.unwrap()[0].body.as_deref(), Some("Thanks"));
    bob.set_status(&repo, &pull.head.sha, "hangar/tests", CheckState::Success, "12 passed").await.unwrap();
    assert_eq!(bob.pull_files(&repo, pull.number).await.unwrap()[0].filename, "c.txt");
    let edited = bob.edit_pull(&repo, pull.number, "C!", "Because of c").await.unwrap();
    assert_eq!((edited.title.as_str(), edited.body.as_deref()), ("C!", Some("Because of c")));
    let merged = alice.merge(&repo, pull.number, MergeMethod::Squash, &pull.head.sha).await.unwrap();
    let after = bob.pull(&repo, pull.number).await.unwrap();
    assert_eq!((after.merged_at.is_some(), after.merge_commit_sha), (true, Some(merged.sha)));
    assert_eq!(bob.pulls(&repo).await.unwrap().len(), 1);
}

#[tokio::test]
async fn failures_of_every_kind_have_words() {
    let house = House::build().await;
    house.web().await;
    let repo = path("acme/web");
    let client = RestClient::new(&format!("{}/api/v3", house.base)).unwrap();
    let status = |answer: Result<_, ClientError>| match answer {
        Err(ClientError::Refused { status, message, .. }) => (status, message),
        other => panic!("{other:?}"),
    };
    let stranger = client.as_user(&Token::new("tok_nobody")).unwrap();
    assert_eq!(status(stranger.repo(&repo).await), (401, "Bad credentials".into()));
    let eve = client.as_user(&Token::new("tok_eve")).unwrap();
    assert_eq!(status(eve.repo(&repo).await), (404, "Not Found".into()));
    let nowhere = RestClient::new("http://127.0.0.1:9/api/v3").unwrap().as_user(&Token::new("x")).unwrap();
    let error = nowhere.me().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
    assert!(!error.to_string().contains('\n'), "{error}");
}
