//! `hangar.toml`, `HANGAR_*` and flags.

use std::{fs, path::Path};

use hangar::{Config, ConfigSources, config};
use hangar_protocol::Refusal;
use tempfile::TempDir;

fn load(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, Refusal> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("hangar.toml");
    fs::write(&path, file).unwrap();
    let sources = ConfigSources {
        file: Some(path),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
    };
    sources.load()
}

#[test]
fn flags_weigh_more_than_variables_and_these_more_than_the_file() {
    let port = |file, variables, flags| load(file, variables, flags).unwrap().http.port;
    assert_eq!(port("", &[], &[]), 7433);
    assert_eq!(port("http.port = 1", &[], &[]), 1);
    assert_eq!(port("http.port = 1", &[("HANGAR_HTTP_PORT", "2")], &[]), 2);
    assert_eq!(port("http.port = 1", &[("HANGAR_HTTP_PORT", "2")], &[("http.port", "3")]), 3);
    assert_eq!(port("http.port = 1", &[("HANGAR_HTTP_PORT", "")], &[]), 1);
    let config =
        load("", &[("HANGAR_DATA", "/srv/h"), ("HANGAR_PEOPLE_OWNER", "7"), ("HANGAR_HTTP_HOST", "::1")], &[]).unwrap();
    assert_eq!((config.data.as_path(), config.people.owner.unwrap().as_str()), (Path::new("/srv/h"), "7"));
    assert!(config.http.host.is_ipv6());
}

#[test]
fn openai_itself_is_spoken_to_by_responses_and_others_by_chat_completions() {
    let wires = |file: &str, variables: &[(&str, &str)]| -> Vec<config::Wire> {
        load(file, variables, &[]).unwrap().models.iter().map(config::ModelConfig::wire).collect()
    };
    let entry = |rest: &str| format!("[[models]]\nid = \"a/b\"\n{rest}");
    assert_eq!(wires(&entry("base_url = \"https://api.openai.com/v1/\""), &[]), [config::Wire::OpenAiResponses]);
    assert_eq!(wires(&entry("base_url = \"http://127.0.0.1:11434/v1\""), &[]), [config::Wire::OpenAi]);
    let named = entry("base_url = \"https://api.openai.com/v1\"\nwire = \"openai\"");
    assert_eq!(wires(&named, &[]), [config::Wire::OpenAi]);
    let key = ("OPENAI_API_KEY", "k");
    assert_eq!(wires("", &[key])[0], config::Wire::OpenAiResponses);
    assert_eq!(wires("", &[key, ("OPENAI_BASE_URL", "http://gateway/v1")])[0], config::Wire::OpenAi);
    assert_eq!(wires("", &[("ANTHROPIC_API_KEY", "k")])[0], config::Wire::Anthropic);
}

#[test]
fn what_is_not_a_key_is_refused_by_name() {
    let check = |file: &str, variables: &[(&str, &str)], words: &[&str]| {
        let refusal = load(file, variables, &[]).expect_err(file);
        let said = refusal.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{file}: {said}");
    };
    check("[http]\nprot = 1", &[], &["http.prot", "hangar.toml", "Did you mean http.port?"]);
    check("port = 1", &[], &["no key port", "Did you mean http.port?"]);
    check("[htpp]\nport = 1", &[], &["no key htpp", "Did you mean http?"]);
    check("[zebra]\nstripes = 1", &[], &["no key zebra", "docs/configuration.md"]);
    check("[[models]]\nid = \"a/b\"\nbase_url = \"http://x\"\nurl = 1", &[], &["models.url"]);
    check("[http]\nport = \"many\"", &[], &["http.port", "hangar.toml", "whole number"]);
    check("[http]\nport = 70000", &[], &["http.port", "70000"]);
    check("[http]\nbody_bytes_max = 0", &[], &["http.body_bytes_max is 0"]);
    check("[http]\npublic_url = \"example.org\"", &[], &["http.public_url", "example.org"]);
    check("[http]\npublic_url = \"https://example.org/hangar\"", &[], &["http.public_url"]);
    check("[log]\nformat = \"xml\"", &[], &["log.format", "auto, human, json"]);
    check("[[models]]\nid = \"x\"", &[], &["models.id", "provider/model"]);
    check("[[models]]\nid = \"x/y\"\nbase_url = \"localhost\"", &[], &["models.base_url of x/y"]);
    check("[bases]\nmirror = \"http://x/debian\"", &[], &["no key bases.mirror"]);
    check("[bases]\nimage_gib = 0", &[], &["bases.image_gib is 0"]);
    check(
        "[[registries]]\nhost = \"a\"\npasword = \"x\"",
        &[],
        &["registries.pasword", "Did you mean registries.password?"],
    );
    check("[[registries]]\nhost = \"a\"\nscheme = \"ftp\"", &[], &["registries", "scheme"]);
    check("[pool]\nfloor = 3\nceiling = 2", &[], &["pool.floor is 3"]);
    check("http = 5", &[], &["http", "hangar.toml"]);
    check("[http", &[], &["hangar.toml is not valid TOML", "line 1"]);
    check("", &[("HANGAR_HTTP_PROT", "1")], &["HANGAR_HTTP_PROT", "Did you mean HANGAR_HTTP_PORT?"]);
    check("", &[("HANGAR_HTTP_PORT", "x")], &["http.port", "the variable HANGAR_HTTP_PORT"]);
    // Not ours, and not like ours.
    assert!(load("", &[("HANGAR_DEMO_EXIT", "1"), ("HANGAR_TOKEN", "x"), ("HANGARS", "3")], &[]).is_ok());
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let sources = ConfigSources { file: Some("/nowhere/hangar.toml".into()), ..ConfigSources::default() };
    let said = sources.load().unwrap_err().to_string();
    assert!(said.contains("/nowhere/hangar.toml"), "{said}");
}

#[test]
fn the_data_directorys_file_is_found() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("hangar.toml"), "[http]\nport = 9").unwrap();
    let flags = vec![("data", dir.path().to_str().unwrap().to_owned())];
    let config = ConfigSources { flags, ..ConfigSources::default() }.load().unwrap();
    assert_eq!(config.http.port, 9);
}

#[test]
fn secrets_are_printed_nowhere() {
    let file = "[[models]]\nid = \"a/b\"\nbase_url = \"http://x\"\nkey = \"sk-in-the-file\"";
    let config = load(file, &[("ANTHROPIC_API_KEY", "sk-in-the-environment")], &[]).unwrap();
    assert_eq!(config.models[0].key.as_ref().unwrap().reveal(), "sk-in-the-file");
    assert_eq!(config.models[1].id, "anthropic/claude-sonnet-4-5");
    let key = config.models[1].key.as_ref().unwrap();
    let shown = [format!("{config:?} {key} {key:?}"), serde_json::to_string(&config).unwrap()];
    for text in shown {
        assert!(!text.contains("sk-in") && text.contains("[redacted]"), "{text}");
    }
    let wrong = load("[[models]]\nid = \"a/b\"\nbase_url = \"http://x\"\nkey = [\"sk-in-the-file\"]", &[], &[]);
    let said = wrong.unwrap_err().to_string();
    assert!(!said.contains("sk-in"), "{said}");
}

#[test]
fn models_come_with_the_keys_in_the_environment() {
    let ids = |variables: &[(&str, &str)]| -> Vec<String> {
        load("", variables, &[])
            .unwrap()
            .models
            .into_iter()
            .map(|model| format!("{} {}", model.id, model.base_url))
            .collect()
    };
    assert!(ids(&[]).is_empty());
    let named =
        ids(&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("OPENAI_MODEL", "local")]);
    assert_eq!(named[0], "openai/local http://127.0.0.1:1/v1");
}

/// The page lists every key as the table has it. `HANGAR_WRITE_DOCS=1 cargo test` writes it anew.
#[test]
fn the_reference_page_lists_every_key() {
    const BEGIN: &str = "<!-- keys: written from crates/server/src/config by its tests -->\n";
    const END: &str = "<!-- end of keys -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let fresh = format!("{before}{BEGIN}\n{}{END}{after}", config::reference());
    if std::env::var_os("HANGAR_WRITE_DOCS").is_some() {
        return fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(page, fresh, "docs/configuration.md is stale: HANGAR_WRITE_DOCS=1 cargo test -p hangar writes it anew");
    for key in config::keys() {
        assert!(page.contains(&format!("| `{}` |", key.name)), "{} is not in docs/configuration.md", key.path());
    }
}

#[test]
fn an_agent_that_cannot_be_started_is_refused_with_what_to_write() {
    let refused = |lines: &str| load(&format!("[[agents]]\n{lines}"), &[], &[]).unwrap_err().to_string();
    let entry = "id = \"codex\"\ncommand = [\"/opt/codex\"]\n";
    let agents = load(&format!("[[agents]]\n{entry}environment = [\"A=b=c\"]"), &[], &[]).unwrap().agents;
    assert_eq!((agents[0].id.as_str(), agents[0].folder.clone(), agents[0].wire), ("codex", None, None));
    assert_eq!(agents[0].hooks, None);
    for (lines, words) in [
        ("command = [\"/opt/codex\"]".to_owned(), "agents.id is \"\"."),
        ("id = \"Codex\"\ncommand = [\"/opt/codex\"]".to_owned(), "lower-case letters"),
        ("id = \"hangar\"\ncommand = [\"/opt/codex\"]".to_owned(), "hangar's own agent has no entry"),
        ("id = \"codex\"".to_owned(), "begins with no absolute path"),
        (format!("{entry}environment = [\"=b\"]"), "Write NAME=value."),
        (format!("{entry}folder = \"/not/there\""), "(/not/there) is no directory."),
        (format!("{entry}wire = \"telepathy\""), "telepathy"),
        (format!("{entry}hooks = \"gemini\""), "gemini"),
        (
            format!("{entry}hooks = \"opencode\"\nenvironment = [\"OPENCODE_CONFIG_CONTENT=[]\"]"),
            "OPENCODE_CONFIG_CONTENT is no JSON object",
        ),
    ] {
        let told = refused(&lines);
        assert!(told.contains(words), "{lines}: {told}");
    }
}

#[test]
fn an_mcp_server_that_cannot_be_used_is_refused_with_what_to_write() {
    let table = |lines: &str| load(&format!("[[mcp_servers]]\n{lines}"), &[], &[]);
    let program = "id = \"db\"\ncommand = [\"db-server\"]\n";
    let address = "id = \"wiki\"\nurl = \"https://wiki.example.org/mcp\"\n";
    let both =
        table(&format!("{program}environment = [\"A=b=c\"]\n[[mcp_servers]]\n{address}headers = [\"X-A: b: c\"]"));
    assert_eq!(both.unwrap().mcp_servers.len(), 2);
    table("id = \"wiki\"\nurl = \"${WIKI}/mcp\"").unwrap();
    for (lines, words) in [
        ("command = [\"db\"]".to_owned(), "mcp_servers.id: \"\" is no name of an MCP server"),
        ("id = \"a__b\"\ncommand = [\"db\"]".to_owned(), "\"a__b\" is no name of an MCP server"),
        ("id = \"db\"".to_owned(), "needs either mcp_servers.command or mcp_servers.url"),
        (format!("{program}url = \"https://a.example/\""), "needs either mcp_servers.command or mcp_servers.url"),
        ("id = \"a\"\nurl = \"https://93.184.216.34/\"".to_owned(), "an https address needs the name of a host"),
        ("id = \"a\"\nurl = \"http://localhost:3000/\"".to_owned(), "localhost is not outside the sandbox"),
        (format!("{program}environment = [\"s3cret\"]"), "mcp_servers.environment of db: entry 1 has no name"),
        (format!("{address}headers = [\"s3cret\"]"), "mcp_servers.headers of wiki: entry 1 has no name"),
        (format!("{program}folder = \"/not/there\""), "(/not/there) is no directory."),
        (format!("{program}[[mcp_servers]]\n{program}"), "mcp_servers.id db is there twice."),
        (format!("{program}sandbox = false"), "There is no key mcp_servers.sandbox"),
    ] {
        let told = table(&lines).unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("s3cret"), "{lines}: {told}");
    }
}

/// The table of keys and the structs that are read name the same keys.
#[test]
fn every_field_is_a_key_and_every_key_a_field() {
    let mut config = Config::in_directory("/x".into());
    config.models.push(config::ModelConfig::default());
    config.agents.push(config::AgentConfig::default());
    config.mcp_servers.push(config::McpServerConfig::default());
    config.registries.push(config::RegistryConfig::default());
    config.trusted.push(config::TrustedConfig::default());
    config.secrets.push(config::SecretConfig::default());
    config.plugins.push(config::PluginConfig::default());
    let value = serde_json::to_value(&config).unwrap();
    let mut fields = Vec::new();
    for (name, entry) in value.as_object().unwrap() {
        let table = entry.as_array().map_or(entry, |list| &list[0]);
        match table.as_object() {
            Some(table) => fields.extend(table.keys().map(|key| format!("{name}.{key}"))),
            None => fields.push(name.clone()),
        }
    }
    let mut known: Vec<String> = config::keys().map(config::Key::path).collect();
    fields.sort();
    known.sort();
    assert_eq!(fields, known);
}
