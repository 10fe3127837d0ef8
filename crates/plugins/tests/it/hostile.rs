//! Plugins that mean harm, or have the worst of bugs: each fails in words, alone, and is loaded afresh for the next question.

use hangar_agent::Verdict;
use serde_json::json;

use crate::plugin::{load, plugin};

/// Asks a plugin whose hook does `body` when the path is `harm`; it must fail with these words, and work before and after.
async fn check(body: &str, words: &str) {
    let text = format!(
        r#"const keep = [];
           export const hooks = {{
             "tool.execute.before": (input, output) => {{
               if (output.args.path !== "harm") throw new Error("well");
               {body}
             }},
           }};"#
    );
    // Time is what ends some of them: they never end by themselves, so however slow the machine is, it is over.
    let short = load(&text, |settings| {
        settings.timeout_ms = if words.starts_with("it took longer") { 300 } else { 20_000 };
        settings.memory_mib = 8;
    });
    let short = short.unwrap();
    let well = Ok(Verdict::Deny("well".to_owned()));
    let failed = short.before("read", json!({"path": "harm"})).await;
    let reason = failed.as_ref().err().unwrap_or_else(|| panic!("{body}: {failed:?}"));
    assert!(reason.contains(words), "{body}: {reason}");
    // It may still be at its end when the question is given up: the next one waits for that or fails, and then it is well again.
    let mut after = short.before("read", json!({"path": "f"})).await;
    for _ in 0..100 {
        if after == well {
            break;
        }
        after = short.before("read", json!({"path": "f"})).await;
    }
    assert_eq!(after, well, "{body}");
}

#[tokio::test]
async fn what_does_not_end_is_ended() {
    let over = "it took longer than";
    check("for (;;) {}", over).await;
    check("while (true) { try { for (;;) {} } catch {} finally { continue } }", over).await;
    check("const again = () => { Promise.resolve().then(again); }; again();", over).await;
    check("return (async () => { for (;;) await null; })();", over).await;
    check("/(a+)+$/.test('a'.repeat(40) + 'b'); for (;;) {}", over).await;
    check("output.args = { toJSON() { for (;;) {} } };", over).await;
    check("const e = new Error(); Object.defineProperty(e, 'message', { get() { for (;;) {} } }); throw e;", over)
        .await;
    check("[1, 2].sort(() => { for (;;) {} });", over).await;
    check("eval('for (;;) {}');", over).await;
}

#[tokio::test]
async fn memory_and_depth_have_an_end() {
    check("for (;;) keep.push(new Array(1000).fill({}));", "memory").await;
    check("const again = () => Promise.resolve().then(again); return again();", "memory").await;
    check("'x'.repeat(1e9);", "").await;
    check("let text = 'x'; for (;;) text += text;", "").await;
    check("const deep = () => deep() + 1; deep();", "RangeError").await;
    check("let list = []; for (let i = 0; i < 1e5; i++) list = [list]; output.args.list = list;", "").await;
    check("const a = {}; a.a = a; output.args = a;", "TypeError").await;
}

#[tokio::test]
async fn promises_that_never_settle_are_failures() {
    check("return new Promise(() => {});", "its promise never settles").await;
    check("return (async () => { await new Promise(() => {}); })();", "its promise never settles").await;
    check("return Promise.reject(null);", "it threw something that is no error").await;
}

#[tokio::test]
async fn answers_that_make_no_sense_are_failures() {
    check("output.args = null;", "output.args is no object any more").await;
    check("delete output.args;", "output.args is no object any more").await;
    check("output.args = [1];", "output.args is no object any more").await;
    check("output.toJSON = () => 5;", "its output is no object any more").await;
    check("output.toJSON = () => undefined;", "nothing that JSON can say").await;
    check("throw null;", "it threw something that is no error").await;
    check("throw { message: 'no error' };", "it threw something that is no error").await;
    check("nowhere.at.all;", "ReferenceError: nowhere is not defined").await;
    check("output.args = new Proxy({}, { ownKeys() { throw new TypeError('proxied'); } });", "TypeError: proxied")
        .await;
}

#[tokio::test]
async fn tricks_with_prototypes_change_nothing_but_the_plugins_own_answer() {
    let tricky = plugin(
        r#"Object.prototype.args = { path: "/etc/shadow" };
           Object.prototype.toJSON = () => ({ args: Object.assign(Object.create(null), { path: "elsewhere" }) });
           Array.prototype.push = () => { throw new Error("pushed"); };
           JSON.parse = JSON.stringify = () => "null";
           Promise.prototype.then = () => { throw new Error("then"); };
           globalThis.console = null;
           export const hooks = { "tool.execute.before": () => {} };"#,
    );
    // It may answer whatever it likes by whatever means; nobody else is touched.
    let answer = tricky.before("read", json!({"path": "f"})).await;
    assert_eq!(answer, Ok(Verdict::Arguments(json!({"path": "elsewhere"}))));
    let honest =
        plugin(r#"export const hooks = { "tool.execute.before": (input, output) => { output.args.n = [1]; } };"#);
    let answer = honest.before("read", json!({"path": "f"})).await;
    assert_eq!(answer, Ok(Verdict::Arguments(json!({"path": "f", "n": [1]}))));
}

#[tokio::test]
async fn one_that_hangs_holds_up_no_other() {
    let hangs = load(r#"export const hooks = { "tool.execute.before": () => { for (;;) {} } };"#, |settings| {
        settings.timeout_ms = 60_000
    });
    let (hangs, quick) = (hangs.unwrap(), plugin(r#"export const hooks = { "tool.execute.before": () => {} };"#));
    let hanging = hangs.before("read", json!({}));
    tokio::pin!(hanging);
    tokio::select! {
        biased;
        answer = &mut hanging => panic!("it answered: {answer:?}"),
        answer = quick.before("read", json!({})) => assert_eq!(answer, Ok(Verdict::Allow)),
    }
}
