//! Which external agents a server knows, and how each is started.

use std::{collections::BTreeMap, sync::Arc};

use hangar_protocol::{
    api::AgentInfo,
    guest::hook::{TOKEN_VARIABLE, URL_VARIABLE},
};

use super::{Command, HarnessWire, HookFormat, Launch};

/// Stands for the session's model in arguments and variables.
pub const MODEL_PLACE: &str = "{model}";
/// Stands for the gateway's address there.
pub const URL_PLACE: &str = "{models_url}";
/// Stands for the gateway's token in variables. Arguments can be seen by every process of a sandbox, so it is left as it is there.
pub const TOKEN_PLACE: &str = "{models_token}";

/// An external agent, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harness {
    /// How sessions name it.
    pub id: String,
    /// The program and its arguments, with places.
    pub command: Vec<String>,
    /// Variables it needs besides the gateway's, with places.
    pub env: Vec<(String, String)>,
    /// The wire over which it asks models; `None` where it can use any.
    pub wire: Option<HarnessWire>,
    /// `provider/model` that it asks unless a session says otherwise.
    pub model: Option<String>,
    /// How it is told to ask before each of its calls; `None` where it cannot be.
    pub hooks: Option<HookFormat>,
}

/// The external agents of a server. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Harnesses(Arc<[Harness]>);

/// What is wrong with a list of agents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent {0} is configured twice: give one of them another id")]
pub struct HarnessesFault(pub String);

impl Harnesses {
    /// These agents.
    ///
    /// # Errors
    /// [`HarnessesFault`] when two have the same id.
    pub fn new(all: Vec<Harness>) -> Result<Self, HarnessesFault> {
        let twice = |(place, harness): &(usize, &Harness)| all[..*place].iter().any(|other| other.id == harness.id);
        match all.iter().enumerate().find(twice) {
            Some((_, harness)) => Err(HarnessesFault(harness.id.clone())),
            None => Ok(Self(all.into())),
        }
    }

    /// The agent with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Harness> {
        self.0.iter().find(|harness| harness.id == id).cloned()
    }

    /// The list for people.
    #[must_use]
    pub fn list(&self) -> Vec<AgentInfo> {
        self.0.iter().map(|harness| AgentInfo { id: harness.id.clone(), model: harness.model.clone() }).collect()
    }
}

impl Launch {
    /// What is executed where the gateway has this address and token, and hooks ask at `hooks_url`. The gateway's model ids are hangar's.
    #[must_use]
    pub fn command(&self, url: &str, token: &str, hooks_url: &str) -> Command {
        let placed = |text: &str| text.replace(MODEL_PLACE, &self.model).replace(URL_PLACE, url);
        let mut env: BTreeMap<String, String> = self.env.iter().cloned().collect();
        let own = self.harness.env.iter();
        env.extend(own.map(|(name, value)| (name.clone(), placed(value).replace(TOKEN_PLACE, token))));
        let mut argv: Vec<String> = self.harness.command.iter().map(|word| placed(word)).collect();
        if let Some((format, token)) = self.harness.hooks.zip(self.hooks.as_ref()) {
            argv.extend(format.arguments());
            format.furnish(&mut env);
            env.insert(URL_VARIABLE.to_owned(), hooks_url.to_owned());
            env.insert(TOKEN_VARIABLE.to_owned(), token.reveal().to_owned());
        }
        Command { argv, env }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::GatewayToken;

    fn harness(id: &str) -> Harness {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Harness {
            id: id.to_owned(),
            command: vec!["/opt/agent".into(), format!("model={MODEL_PLACE}"), format!("{URL_PLACE}/v1 {TOKEN_PLACE}")],
            env: vec![pair("KEY", TOKEN_PLACE), pair("HOST", "{models_url}/openai"), pair("GIT_AUTHOR_NAME", "bot")],
            wire: None,
            model: None,
            hooks: None,
        }
    }

    #[test]
    fn places_are_filled_and_the_token_stays_out_of_arguments() {
        let env = vec![("GIT_AUTHOR_NAME".to_owned(), "Ada".to_owned()), ("LANG".to_owned(), "C".to_owned())];
        let launch = Launch { harness: harness("a"), model: "openai/gpt-5.1".to_owned(), env, hooks: None };
        let Command { argv, env } = launch.command("http://gateway/-", "secret", "http://hooks");
        assert_eq!(argv, ["/opt/agent", "model=openai/gpt-5.1", "http://gateway/-/v1 {models_token}"]);
        let env: Vec<String> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["GIT_AUTHOR_NAME=bot", "HOST=http://gateway/-/openai", "KEY=secret", "LANG=C"]);
    }

    #[test]
    fn a_program_with_hooks_is_told_where_they_ask() {
        let token = GatewayToken::random();
        let harness = Harness { hooks: Some(HookFormat::Codex), ..harness("a") };
        let launch = Launch { harness, model: "m/n".to_owned(), env: vec![], hooks: Some(token.clone()) };
        let Command { argv, env } = launch.command("http://gateway/-", "secret", "http://hooks");
        let [.., flag, said] = argv.as_slice() else { panic!("{argv:?}") };
        assert!(flag == "-c" && said.starts_with("hooks={PreToolUse="), "{argv:?}");
        assert_eq!(env["HANGAR_HOOKS_URL"], "http://hooks");
        assert_eq!(env["HANGAR_HOOKS_TOKEN"], token.reveal());
        assert!(!argv.iter().any(|word| word.contains(&env["HANGAR_HOOKS_TOKEN"])));
    }

    #[test]
    fn an_id_stands_for_one_agent() {
        assert_eq!(Harnesses::new(vec![harness("a"), harness("b"), harness("a")]).unwrap_err().0, "a");
        let known = Harnesses::new(vec![harness("a"), harness("b")]).unwrap();
        assert_eq!(known.find("b").unwrap().id, "b");
        assert_eq!(known.find("c"), None);
    }
}
