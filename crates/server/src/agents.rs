//! The external agents of this server, and the MCP servers of its own. Whether they can be used is looked at before it listens.

use hangar_agent::{
    Models,
    acp::{Harness, Harnesses},
};
use hangar_protocol::{Refusal, RefusalCode, limits::clip};
use hangar_session::McpServers;

use crate::config::{AgentConfig, Config, GatewayWord};

/// Everything in `[[agents]]`.
///
/// # Errors
/// Which one cannot be used, and what to do.
pub(crate) fn harnesses(config: &Config, models: &Models) -> Result<Harnesses, Refusal> {
    if let Some(first) = config.agents.first().filter(|_| config.sessions.model_gateway == GatewayWord::Off) {
        return Err(refused(
            format!("The agent {} asks models through the gateway, which is off.", first.id),
            "Set sessions.model_gateway to \"commands\" in hangar.toml.",
        ));
    }
    let harnesses = config.agents.iter().map(AgentConfig::harness).collect();
    let harnesses = Harnesses::new(harnesses).map_err(|fault| refused(format!("{fault}."), ""))?;
    for AgentConfig { id, model, .. } in &config.agents {
        if let Some(harness) = harnesses.find(id).filter(|_| !model.is_empty()) {
            check_model(models, &harness, model)?;
        }
    }
    Ok(harnesses)
}

/// Everything in `[[mcp_servers]]`.
///
/// # Errors
/// Which one cannot be used, and what to do.
pub(crate) fn mcp_servers(config: &Config) -> Result<McpServers, Refusal> {
    let servers = config.mcp_servers.iter().map(|entry| Ok((entry.server()?, entry.repositories.clone())));
    let servers = servers.collect::<Result<_, Refusal>>()?;
    McpServers::new(servers).map_err(|fault| {
        refused(
            format!("mcp_servers.repositories of {fault}."),
            "Write names of repositories, or patterns like acme/*.",
        )
    })
}

/// The agent that a session wants.
///
/// # Errors
/// There is none of that name; those that there are.
pub(crate) fn known_agent(harnesses: &Harnesses, id: &str) -> Result<Harness, Refusal> {
    harnesses.find(id).ok_or_else(|| {
        let known: Vec<String> = harnesses.list().into_iter().map(|agent| agent.id).collect();
        let there_are = if known.is_empty() {
            "This server has only hangar's own, which needs no name; docs/harnesses.md says how others are set up."
                .to_owned()
        } else {
            format!("There are: {}; hangar's own needs no name.", known.join(", "))
        };
        Refusal::new(RefusalCode::NotFound, format!("There is no agent {:?}.", clip(id, 80)), there_are)
    })
}

/// Whether an agent can ask a model.
///
/// # Errors
/// There is no such model, or it is not reached over the agent's wire.
pub(crate) fn check_model(models: &Models, harness: &Harness, id: &str) -> Result<(), Refusal> {
    let Some(model) = models.find(id) else {
        let known: Vec<String> = models.list().into_iter().map(|model| model.id).collect();
        return Err(refused(
            format!("The agent {} is to ask {id}, and there is no such model.", harness.id),
            &format!("There are: {}.", known.join(", ")),
        ));
    };
    match harness.wire {
        Some(wire) if !wire.reaches(&model) => {
            let reached = models.list().into_iter().filter_map(|info| models.find(&info.id));
            let reached: Vec<String> =
                reached.filter(|model| wire.reaches(model)).map(|model| model.id.clone()).collect();
            let hint = if reached.is_empty() {
                "Configure a model that does ([[models]]).".to_owned()
            } else {
                format!("Choose one of: {}.", reached.join(", "))
            };
            Err(refused(
                format!("The agent {} asks over {}, and {id} does not speak that.", harness.id, wire.name()),
                &hint,
            ))
        }
        Some(_) | None => Ok(()),
    }
}

fn refused(message: String, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::BadRequest, message, hint)
}
