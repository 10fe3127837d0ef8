//! `hangar eval` on a running server: tasks are brought in and checked, nothing of a check stays, and what says nothing about the agent is told as that.
//! The tasks themselves are tried by `scripts/eval.sh`.

use std::{fs, path::Path};

use hangar_client::SessionFilter;
use hangar_testkit::{Ran, Reply, TestServer, Transcript, program, within};
use serde_json::{Value, json};
use tokio::process::Command;

/// With the tester's own home, where the registries' clients are set up.
async fn eval(server: &TestServer, arguments: &[&str]) -> Ran {
    let mut command = Command::new(program());
    command.arg("eval").args(arguments).arg("--json").current_dir(server.directory());
    for (name, part) in [("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("TMPDIR", "tmp")] {
        command.env(name, server.directory().join(part));
    }
    Ran::of(command.env_remove("HANGAR_URL").env_remove("HANGAR_TOKEN")).await
}

/// Each task's verdict and why, in the order of their names.
fn verdicts(ran: &Ran) -> Vec<(String, String, String)> {
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("no report: {ran:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = report["tasks"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["task"]), text(&row["verdict"]), text(&row["why"]))).collect()
}

/// The branches of a repository, as stock git sees them.
async fn branches(server: &TestServer, repo: &str) -> Vec<String> {
    let repos = within("the repositories", server.owner().client().repos()).await.unwrap();
    let found = repos.iter().find(|known| known.repo.to_string() == repo).unwrap();
    let url = found.clone_url.replacen("://", &format!("://x:{}@", server.owner().token()), 1);
    let mut git = Command::new("git");
    git.args(["ls-remote", "--heads", &url]).env("GIT_TERMINAL_PROMPT", "0").env("HOME", server.directory());
    let told = Ran::of(&mut git).await.well();
    told.lines().filter_map(|line| line.split_once("refs/heads/")).map(|(_, name)| name.to_owned()).collect()
}

fn agent() -> Transcript {
    // Right, and it pushes what it made.
    let weeks = r#"sed -i -E 's/^  if \(msAbs >= d\) \{$/  if (msAbs >= w) {\n    return WEEKS;\n  }\n&/' index.js
        sed -i '0,/WEEKS/s//Math.round(ms \/ w) + "w"/; s/WEEKS/plural(ms, msAbs, w, "week")/' index.js
        echo 'ms(1209600000) // "2w"' >> readme.md
        git commit --quiet --all --message Weeks && git push --quiet origin HEAD && echo pushed"#;
    Transcript::new()
        .on("reads weeks", [Reply::bash(weeks), Reply::say("Done.").after("pushed", "It was not pushed.")])
        .on("Write tests for both functions", [Reply::say("They are good as they are.")])
}

#[tokio::test]
async fn tasks_are_judged_on_a_running_server_and_nothing_of_a_check_stays() {
    let mut server = TestServer::start(agent()).await;
    let ran = eval(&server, &["ms-weeks", "array-move-tests", "--jobs", "2"]).await;
    let row = |task: &str, verdict: &str, why: &str| (task.to_owned(), verdict.to_owned(), why.to_owned());
    let expected = [row("array-move-tests", "failed", "there is no test.mjs"), row("ms-weeks", "passed", "")];
    assert_eq!(verdicts(&ran), expected, "{ran:?}");
    assert_eq!(ran.code, Some(11));
    // The sessions of the agent are there to be looked at; those of checks, and what either pushed, are gone.
    let listed =
        within("the sessions", server.owner().client().list_sessions(&SessionFilter::default())).await.unwrap();
    let mut repos: Vec<String> = listed.iter().map(|session| session.repo.to_string()).collect();
    repos.sort();
    assert_eq!(repos, ["eval/array-move-tests", "eval/ms-weeks"]);
    for repo in ["eval/ms-weeks", "eval-checks/all"] {
        assert_eq!(branches(&server, repo).await, ["main"], "{repo}");
    }
    // Once more, what is there is used.
    let again = eval(&server, &["ms-weeks"]).await;
    assert_eq!((again.code, verdicts(&again)), (Some(0), vec![row("ms-weeks", "passed", "")]), "{again:?}");
    assert_eq!(branches(&server, "eval/ms-weeks").await, ["main"]);
    server.stop().await;
    assert!(server.traces().is_empty(), "left behind:\n{}", server.traces());
}

/// A copy of a task of ours with something else in it.
fn altered(folder: &Path, name: &str, alter: impl Fn(&str, String) -> String) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../evals/ms-weeks");
    fs::create_dir_all(folder.join(name)).unwrap();
    for file in ["task.toml", "check.sh"] {
        let text = fs::read_to_string(from.join(file)).unwrap();
        fs::write(folder.join(name).join(file), alter(file, text)).unwrap();
    }
}

#[tokio::test]
async fn what_says_nothing_about_the_agent_is_told_as_that() {
    let mut server = TestServer::start(agent()).await;
    let tasks = server.directory().join("tasks");
    altered(&tasks, "another-hash", |_, text| text.replace("f6616e15", "00000000"));
    altered(&tasks, "endless", |file, text| match file {
        "check.sh" => "sleep 600\n".to_owned(),
        _ => text.replace("[package]", "check_s = 1\n[package]").replace("\n\ncheck_s = 1\n", "\ncheck_s = 1\n\n"),
    });
    // An agent's work cannot say that it is good: only the check's end counts.
    altered(&tasks, "forged", |file, text| match file {
        "check.sh" => "echo 'deadbeef 0'; exit 3\n".to_owned(),
        _ => text,
    });
    let ran = eval(&server, &["--tasks", tasks.to_str().unwrap()]).await;
    let told = verdicts(&ran);
    assert_eq!(ran.code, Some(11), "{ran:?}");
    assert!(told[0].1 == "not_prepared" && told[0].2.contains("has the SHA-256 f6616e15"), "{told:?}");
    assert_eq!((told[1].1.as_str(), told[1].2.as_str()), ("failed", "its check took longer than 1 s"));
    assert_eq!((told[2].1.as_str(), told[2].2.as_str()), ("failed", "deadbeef 0"));
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        json!([report["passed"], report["failed"], report["without_verdict"], report["tasks"][0]["session"]]),
        json!([0, 2, 1, null])
    );
    // What is no task is refused before anything begins.
    fs::write(tasks.join("forged/task.toml"), "wish = 1\n").unwrap();
    let refusal = eval(&server, &["--tasks", tasks.to_str().unwrap()]).await.refusal();
    assert!(refusal.message.starts_with("The task forged cannot be read"), "{refusal:?}");
    server.stop().await;
}
