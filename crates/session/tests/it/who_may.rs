//! The whole table of who may do what, as decided and as `docs/sessions.md` has it.

use hangar_protocol::{
    Command, Event, EventBody, InvitationId, PromptId, RefusalCode, Seq, SessionRole, SessionState, Visibility,
    api::OpenPullRequest,
    command::{AfterStop, BeginAt, Commanded, Reach},
    state::Place,
};
use hangar_session::decide::{Input, decide};

use crate::decide::{Story, person};

fn cancel(prompt: u32) -> Command {
    Command::CancelPrompt { prompt: PromptId(prompt), request_id: None }
}

/// What a person may want, in the words of the page, and a command of `by` that is it.
fn wishes(by: &str) -> Vec<(&'static str, Command)> {
    vec![
        ("prompt", Command::Prompt { request_id: "new".parse().unwrap(), text: "more".to_owned() }),
        ("steer the turn", Command::Steer { request_id: "new".parse().unwrap(), text: "more".to_owned() }),
        ("edit, move, send or cancel one's own prompt", cancel(if by == "owner" { 3 } else { 2 })),
        ("edit, move, send or cancel another's prompt", cancel(4)),
        ("let the queue go on", Command::Resume),
        ("choose an attempt", Command::KeepAttempt { session: "abcdef".parse().unwrap() }),
        ("continue a turn that waits for its budget", Command::ContinueTurn),
        ("make a sandbox again that has failed", Command::RetrySandbox { begin_at: BeginAt::Base }),
        ("stop the turn", Command::Stop { turn: None, then: AfterStop::Drain, reach: Reach::WithChildren }),
        ("rename", Command::Rename { title: "New".to_owned() }),
        ("open the network towards a host", Command::AllowNetwork(Place { host: "example.org".to_owned(), port: 443 })),
        ("open a pull request", Command::OpenPullRequest(OpenPullRequest::default())),
        ("leave", Command::RemoveMember { user: by.parse().unwrap() }),
        ("give, change or take a role", Command::SetRole { person: person("dan"), role: SessionRole::Viewer }),
        ("remove somebody", Command::RemoveMember { user: "other".parse().unwrap() }),
        ("make it private or a team session", Command::SetVisibility { visibility: Visibility::Team }),
        ("invite", Command::Invite { role: SessionRole::Viewer, hash: "1".repeat(64), expires_ms: 9, now_ms: 1 }),
        ("take an invitation back", Command::RevokeInvitation { invitation: InvitationId(1) }),
        ("archive, unarchive", Command::Unarchive),
        ("delete", Command::Delete { purge_ms: 9 }),
        ("undelete", Command::Restore),
    ]
}

fn wish(by: &str, wanted: &str) -> Command {
    wishes(by).into_iter().find(|(name, _)| *name == wanted).unwrap().1
}

/// A private session with somebody of every role and one prompt of each who may prompt.
fn state() -> SessionState {
    let mut story = Story::new();
    let mut members = vec![("viewer", SessionRole::Viewer), ("prompter", SessionRole::Prompter)];
    members.extend([("owner", SessionRole::Owner), ("other", SessionRole::Owner)]);
    for (user, role) in members {
        story.command("ann", Command::SetRole { person: person(user), role }).unwrap();
    }
    for (by, request) in [("ann", "r1"), ("prompter", "r2"), ("owner", "r3"), ("other", "r4")] {
        story.prompt(by, request, "go").unwrap();
    }
    story.command("ann", wish("ann", "invite")).unwrap();
    story.command("ann", Command::SetVisibility { visibility: Visibility::Private }).unwrap();
    story.state
}

fn asked(state: &SessionState, by: &str, command: Command) -> Result<(), hangar_protocol::Refusal> {
    decide(state, Input::Command(Commanded { by: person(by), command })).map(drop)
}

#[test]
fn the_table_on_the_page_is_what_is_decided() {
    let state = state();
    let mut table = "| | viewer | prompter | owner |\n| --- | --- | --- | --- |\n".to_owned();
    for number in 0..wishes("x").len() {
        let mut row = format!("| {} |", wishes("x")[number].0);
        for by in ["viewer", "prompter", "owner"] {
            let outcome = asked(&state, by, wishes(by).remove(number).1);
            let may = !matches!(&outcome, Err(refusal) if refusal.code == RefusalCode::Forbidden);
            row.push_str(if may { " yes |" } else { " |" });
        }
        table.push_str(&row);
        table.push('\n');
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sessions.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/sessions.md does not have this table:\n{table}");
}

#[test]
fn whoever_may_not_see_a_session_is_told_that_there_is_none() {
    let state = state();
    for (what, command) in wishes("stranger") {
        let refusal = asked(&state, "stranger", command).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            (RefusalCode::NotFound, "There is no session abc123."),
            "{what}"
        );
    }
    let join = || Command::Join { hash: "9".repeat(64), now_ms: 1 };
    let wrong = asked(&state, "stranger", join()).unwrap_err();
    let mut deleted = state;
    let body = EventBody::SessionDeleted { by: "ann".parse().unwrap(), purge_ms: 9 };
    let cause = hangar_protocol::Cause::System;
    deleted.apply(&Event { seq: Seq(deleted.seq.0 + 1), time_ms: 2, cause, body });
    assert_eq!(asked(&deleted, "stranger", join()).unwrap_err(), wrong, "a link says no more of a deleted session");
    assert_eq!(wrong.code, RefusalCode::NotFound);
}

#[test]
fn in_a_team_session_everybody_is_at_least_a_prompter() {
    let mut story = Story::new();
    story.command("ann", Command::SetRole { person: person("bob"), role: SessionRole::Viewer }).unwrap();
    for (user, role) in [("ann", SessionRole::Owner), ("bob", SessionRole::Prompter), ("zoe", SessionRole::Prompter)] {
        assert_eq!(story.state.role_of(&user.parse().unwrap()), Some(role), "{user}");
    }
}
