//! The hook program: whatever goes wrong, the call is refused with words that the agent's model reads.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread::{self, JoinHandle},
};

use hangar_protocol::guest::hook::{QUESTION_BYTES_MAX, SAYS_ALLOW, TOKEN_VARIABLE, URL_VARIABLE};
use serde_json::{Value, json};

/// A door that answers one question, and gives back its head and body.
fn door(answer: &'static str) -> (String, JoinHandle<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/-/hooks", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = question(&stream);
        stream.write_all(answer.as_bytes()).unwrap();
        asked
    });
    (url, asked)
}

fn question(stream: &TcpStream) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut bytes) = (String::new(), 0);
    loop {
        let begun = head.len();
        reader.read_line(&mut head).unwrap();
        let line = head[begun..].trim().to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length: ") {
            bytes = length.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn reply(status: &str, body: &str) -> &'static str {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).leak()
}

/// The program, with this on its standard input.
fn hook(arguments: &[&str], env: &[(&str, &str)], said: &[u8]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hangar-hook"))
        .args(arguments)
        .env_remove(URL_VARIABLE)
        .env_remove(TOKEN_VARIABLE)
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has heard enough closes its end.
    let _heard = program.stdin.take().unwrap().write_all(said);
    program.wait_with_output().unwrap()
}

fn call() -> Value {
    json!({
        "session_id": "s", "cwd": "/workspace", "hook_event_name": "PreToolUse", "permission_mode": "default",
        "tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "toolu_1",
    })
}

/// What it decided, which is all that it may write.
fn decided(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["hookSpecificOutput"]["hookEventName"], "PreToolUse");
    said["hookSpecificOutput"].clone()
}

fn denied(output: &Output) -> String {
    let decided = decided(output);
    assert_eq!(decided["permissionDecision"], "deny");
    decided["permissionDecisionReason"].as_str().unwrap().to_owned()
}

#[test]
fn a_call_is_passed_on_and_the_answer_said_in_the_agents_format() {
    for (arguments, answer, said) in [
        (&[][..], r#"{"verdict":"allow"}"#, None),
        (&[SAYS_ALLOW], r#"{"verdict":"allow"}"#, Some(json!({"permissionDecision": "allow"}))),
        (
            &[],
            r#"{"verdict":"deny","words":"no rm"}"#,
            Some(json!({"permissionDecision": "deny", "permissionDecisionReason": "no rm"})),
        ),
        (
            &[],
            r#"{"verdict":"change","input":{"command":"pwd"}}"#,
            Some(json!({"permissionDecision": "allow", "updatedInput": {"command": "pwd"}})),
        ),
    ] {
        let (url, asked) = door(reply("200 OK", answer));
        // Proxies of the sandbox are not for it.
        let env = [(URL_VARIABLE, url.as_str()), (TOKEN_VARIABLE, "secret"), ("http_proxy", "http://127.0.0.1:1")];
        let output = hook(arguments, &env, call().to_string().as_bytes());
        let (head, question) = asked.join().unwrap();
        assert!(head.starts_with("POST /-/hooks ") && head.contains("Bearer secret"), "{head}");
        assert_eq!(question, json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "toolu_1"}));
        match said {
            None => assert!(output.status.success() && output.stdout.is_empty(), "{output:?}"),
            Some(mut said) => {
                said["hookEventName"] = "PreToolUse".into();
                assert_eq!(decided(&output), said);
            }
        }
    }
}

#[test]
fn without_somebody_to_ask_a_call_is_refused() {
    let call = call().to_string();
    assert!(denied(&hook(&[], &[], call.as_bytes())).contains("has no HANGAR_HOOKS_URL"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}/");
    let env = [(URL_VARIABLE, url.as_str())];
    assert!(denied(&hook(&[], &env, call.as_bytes())).contains("has no HANGAR_HOOKS_TOKEN"));
    let env = [(URL_VARIABLE, url.as_str()), (TOKEN_VARIABLE, "t")];
    assert!(denied(&hook(&[SAYS_ALLOW], &env, call.as_bytes())).contains("cannot be asked about this call"));
}

#[test]
fn an_answer_that_is_none_refuses() {
    for (answer, words) in [
        (reply("401 Unauthorized", "Not your door."), "(401 Unauthorized): Not your door."),
        (reply("302 Found", r#"{"verdict":"allow"}"#), "302"),
        (reply("200 OK", "allow"), "an answer that its hook cannot read"),
        (reply("200 OK", r#"{"verdict":"perhaps"}"#), "an answer that its hook cannot read"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"verdict\":\"allow\"}", "cannot be asked"),
        ("", "cannot be asked"),
    ] {
        let (url, asked) = door(answer);
        let env = [(URL_VARIABLE, url.as_str()), (TOKEN_VARIABLE, "t")];
        let output = hook(&[SAYS_ALLOW], &env, call().to_string().as_bytes());
        asked.join().unwrap();
        assert!(denied(&output).contains(words), "{output:?}");
    }
}

#[test]
fn a_question_that_makes_no_sense_is_refused() {
    let env = [(URL_VARIABLE, "http://127.0.0.1:1/"), (TOKEN_VARIABLE, "t")];
    let mut other = call();
    other["hook_event_name"] = "PostToolUse".into();
    let mut large = call();
    large["tool_input"]["command"] = "a".repeat(QUESTION_BYTES_MAX).into();
    for (said, words) in [
        (String::new(), "something it cannot read"),
        ("\u{0}garbage {".to_owned(), "something it cannot read"),
        ("[1]".to_owned(), "something it cannot read"),
        (r#"{"hook_event_name":"PreToolUse"}"#.to_owned(), "something it cannot read"),
        (other.to_string(), "was asked at PostToolUse"),
        (large.to_string(), "arguments of more than 5 MiB"),
    ] {
        let refused = denied(&hook(&[SAYS_ALLOW], &env, said.as_bytes()));
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_door_that_takes_its_time_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let program = thread::spawn(move || {
        let env = [(URL_VARIABLE, url.as_str()), (TOKEN_VARIABLE, "t")];
        hook(&[], &env, call().to_string().as_bytes())
    });
    let (mut stream, _) = listener.accept().unwrap();
    question(&stream);
    // It is asked, and still waits.
    assert!(!program.is_finished());
    for byte in reply("200 OK", r#"{"verdict":"allow"}"#).as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let output = program.join().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}
