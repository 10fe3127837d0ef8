//! What a plugin may say, and how it is understood.

use hangar_agent::{Verdict, hooks::Occasion};
use serde_json::json;

use crate::plugin::plugin;

#[tokio::test]
async fn a_call_passes_is_changed_or_refused() {
    let guard = plugin(
        r#"export const hooks = {
             "tool.execute.before": (input, output) => {
               if (input.tool === "bash" && output.args.command.includes("rm -rf")) throw new Error("Not that.");
               if (input.tool === "bash") output.args.command = `nice ${output.args.command}`;
               if (input.tool === "grep") output.args = { pattern: "y" };
             },
           };"#,
    );
    let deny = |words: &str| Ok(Verdict::Deny(words.to_owned()));
    assert_eq!(guard.before("read", json!({"path": "f"})).await, Ok(Verdict::Allow));
    assert_eq!(guard.before("bash", json!({"command": "rm -rf /"})).await, deny("Not that."));
    let changed = json!({"command": "nice make", "timeout_s": 5});
    assert_eq!(guard.before("bash", json!({"command": "make", "timeout_s": 5})).await, Ok(Verdict::Arguments(changed)));
    assert_eq!(guard.before("grep", json!({"pattern": "x"})).await, Ok(Verdict::Arguments(json!({"pattern": "y"}))));
}

#[tokio::test]
async fn a_hook_may_be_asynchronous_and_throw_a_text() {
    let guard = plugin(
        r#"const later = (value) => Promise.resolve(value);
           export const hooks = {
             "tool.execute.before": async (input, output) => {
               await later();
               if (output.args.path === "a") throw "Not a.";
               output.args.path = await later("b");
             },
           };"#,
    );
    assert_eq!(guard.before("read", json!({"path": "a"})).await, Ok(Verdict::Deny("Not a.".to_owned())));
    assert_eq!(guard.before("read", json!({"path": "c"})).await, Ok(Verdict::Arguments(json!({"path": "b"}))));
}

#[tokio::test]
async fn a_result_is_rewritten_or_withheld() {
    let redact = plugin(
        r#"export const hooks = {
             "tool.execute.after": ({ tool, args, ok }, output) => {
               if (!ok) throw new Error(`${tool} ${args.path} failed`);
               output.output = output.output.replace(/sk-[a-z0-9]+/g, "[redacted]");
             },
           };"#,
    );
    let read = json!({"path": "f"});
    assert_eq!(redact.after("read", read.clone(), true, "plain").await, Ok(Verdict::Allow));
    let redacted = Verdict::Output("key [redacted], [redacted]".to_owned());
    assert_eq!(redact.after("read", read.clone(), true, "key sk-1a, sk-2b").await, Ok(redacted));
    let withheld = Verdict::Deny("read f failed".to_owned());
    assert_eq!(redact.after("read", read, false, "sk-1a").await, Ok(withheld));
}

#[tokio::test]
async fn words_are_added_and_ends_and_prompts_refused() {
    let plugin = plugin(
        r#"export const hooks = {
             "session.start": (input, output) => { output.context.push(`${input.repo} on ${input.branch}`, "two"); },
             "context.inject": ({ author, turn }, output) => { if (author !== "ada") output.context.push(`turn ${turn}`); },
             "prompt.submit": ({ by, text }) => { if (/password/.test(text)) throw new Error(`No passwords, ${by}.`); },
             "turn.end": ({ sessionID }) => { throw new Error(`Not yet, ${sessionID}.`); },
           };"#,
    );
    let words = Verdict::Context("acme/shop on hangar/s1\n\ntwo".to_owned());
    assert_eq!(plugin.ask(Occasion::SessionStart).await, Ok(words));
    assert_eq!(plugin.ask(Occasion::ContextInject).await, Ok(Verdict::Allow));
    let bob = "bob".parse().unwrap();
    assert_eq!(plugin.ask(Occasion::PromptSubmit { by: &bob, text: "Go." }).await, Ok(Verdict::Allow));
    let refused = Verdict::Deny("No passwords, bob.".to_owned());
    assert_eq!(plugin.ask(Occasion::PromptSubmit { by: &bob, text: "my password" }).await, Ok(refused));
    assert_eq!(
        plugin.ask(Occasion::TurnEnd { said: "Done.", sent_back: 0 }).await,
        Ok(Verdict::Deny("Not yet, s1.".to_owned()))
    );
}

#[tokio::test]
async fn what_a_plugin_remembers_stays_until_it_fails() {
    let counts = plugin(
        r#"let calls = 0;
           export const hooks = {
             "tool.execute.before": (input, output) => {
               calls += 1;
               if (output.args.path === "bug") nowhere();
               throw new Error(`${calls}`);
             },
           };"#,
    );
    let ask = async |path: &str| counts.before("read", json!({"path": path})).await;
    assert_eq!(ask("a").await, Ok(Verdict::Deny("1".to_owned())));
    assert_eq!(ask("a").await, Ok(Verdict::Deny("2".to_owned())));
    let failed = ask("bug").await.unwrap_err();
    assert!(failed.starts_with("ReferenceError: nowhere is not defined"), "{failed}");
    assert_eq!(ask("a").await, Ok(Verdict::Deny("1".to_owned())));
}
