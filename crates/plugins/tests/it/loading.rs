//! What is refused at the start, and which plugins hold for which repository.

use hangar_plugins::{PluginSettings, Plugins};
use serde_json::json;

use crate::plugin::{load, plugin, settings};

/// Why a plugin of this text does not load.
fn refused(text: &str) -> String {
    match load(text, |_| {}) {
        Ok(_) => panic!("it loads: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_file_that_is_no_plugin_is_refused_in_words() {
    let check = |text: &str, words: &str| {
        let said = refused(text);
        assert!(said.starts_with("the plugin tried (/") && said.contains(words), "{said}");
    };
    check("export const hooks = {", "does not load: SyntaxError: ");
    check("export const other = {};", "it exports no hooks: `export const hooks = {");
    check("export const hooks = {};", "it exports no hooks");
    check("export const hooks = 5;", "it exports no hooks");
    check(
        r#"export const hooks = { "tool.execute.during": () => {} };"#,
        "there is no hook \"tool.execute.during\"; the hooks are session.start, ",
    );
    check(r#"export const hooks = { "turn.end": 5 };"#, "its hook turn.end is no function");
    check("throw new Error('I will not.'); export const hooks = {};", "does not load: I will not.");
    check("import fs from 'fs'; export const hooks = {};", "does not load: ");
    check("export const hooks = await new Promise(() => {});", "its promise never settles");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let check = |change: fn(&mut PluginSettings), words: &str| {
        let fine = r#"export const hooks = { "turn.end": () => {} };"#;
        let error = load(fine, change).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    };
    check(|settings| settings.name = "hangar.mine".to_owned(), "a name has letters, digits, - and _");
    check(|settings| settings.name = String::new(), "a name has letters, digits, - and _");
    check(|settings| settings.timeout_ms = 0, "timeout_ms is 0; write 1 to 60000");
    check(|settings| settings.memory_mib = 5000, "memory_mb is 5000; write 1 to 1024");
    check(|settings| settings.repos = vec!["a{".to_owned()], "repos: ");
    check(|settings| settings.path = "/nowhere/plugin.js".into(), "cannot be read: No such file");
    check(|settings| settings.path = "/".into(), "cannot be read: it is no file");
}

#[test]
fn plugins_hold_for_the_repositories_they_name_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plugin.js");
    std::fs::write(&file, r#"export const hooks = { "turn.end": () => {} };"#).unwrap();
    let named = |name: &str, repos: &[&str]| PluginSettings {
        repos: repos.iter().map(|&repo| repo.to_owned()).collect(),
        ..settings(name, &file)
    };
    let all = [named("z", &["acme/*"]), named("a", &[]), named("m", &["*/shop", "other/x"])];
    let plugins = Plugins::load(&all).unwrap();
    let of = |repo: &str| -> Vec<String> {
        plugins.of(&repo.parse().unwrap()).into_iter().map(|installed| installed.plugin).collect()
    };
    assert_eq!(of("acme/shop"), ["z", "a", "m"]);
    assert_eq!(of("acme/blog"), ["z", "a"]);
    assert_eq!(of("other/x"), ["a", "m"]);
    let twice = Plugins::load(&[named("a", &[]), named("a", &[])]).err().unwrap();
    assert_eq!(twice.to_string(), "the plugin \"a\": another has the same name");
}

#[tokio::test]
async fn there_is_no_file_no_network_no_clock_and_options_are_there() {
    let names = [
        "Date",
        "performance",
        "fetch",
        "require",
        "process",
        "setTimeout",
        "std",
        "os",
        "WebSocket",
        "Atomics",
        "SharedArrayBuffer",
    ];
    let text = format!(
        r#"export const hooks = {{
             "tool.execute.before": () => {{
               const there = {names:?}.filter((name) => typeof globalThis[name] !== "undefined");
               throw new Error(`${{there.join()}}|${{typeof console.log}}|${{options.join()}}`);
             }},
           }};"#
    );
    let probe = load(&text, |settings| settings.options = vec!["a".to_owned(), "b\"c".to_owned()]).unwrap();
    let said = probe.before("read", json!({})).await;
    assert_eq!(said, Ok(hangar_agent::Verdict::Deny("|function|a,b\"c".to_owned())));

    // A module can be asked for, and there is none.
    let imports = plugin(
        r#"export const hooks = {
             "tool.execute.before": async () => { await import("fs"); },
           };"#,
    );
    let failed = imports.before("read", json!({})).await;
    assert!(matches!(failed, Err(_) | Ok(hangar_agent::Verdict::Deny(_))), "{failed:?}");
}
