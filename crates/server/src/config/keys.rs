//! The table of keys, and the reference page that is written from it.

use std::fmt::Write as _;

use super::{
    AgentConfig, BasesConfig, BudgetsConfig, Config, HttpConfig, ImagesConfig, LogConfig, McpServerConfig, ModelConfig,
    NetworkConfig, PeopleConfig, PluginConfig, PoolConfig, RegistryConfig, SandboxConfig, SecretConfig, SessionsConfig,
    TrustedConfig,
};

/// What a key's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// A whole number of this unit.
    Number(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text that is never printed.
    Secret,
    /// A list of texts; in a variable they are separated by `;`.
    List,
}

/// The tables of which there can be many.
pub(super) const LISTED: [&str; 7] = [
    ModelConfig::SECTION,
    AgentConfig::SECTION,
    McpServerConfig::SECTION,
    RegistryConfig::SECTION,
    TrustedConfig::SECTION,
    SecretConfig::SECTION,
    PluginConfig::SECTION,
];

/// A key of `hangar.toml`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The table it stands in; empty for the top of the file.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it sets, as its doc comment says.
    pub about: &'static str,
    /// What its value looks like.
    pub shape: Shape,
}

impl Key {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// The variable that sets it too, e.g. `HANGAR_HTTP_PORT`. Entries of a list have none.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let listed = LISTED.contains(&self.section);
        (!listed).then(|| format!("HANGAR_{}", self.path().replace('.', "_").to_uppercase()))
    }
}

/// Declares a table of `hangar.toml` as a struct, its defaults and its rows of [`keys`] in one place.
macro_rules! section {
    (
        $(#[doc = $about:expr])*
        $name:ident in $section:literal {
            $( $(#[doc = $doc:expr])* $field:ident: $type:ty = $default:expr, $shape:expr; )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// The table's name in `hangar.toml`.
            pub(crate) const SECTION: &'static str = $section;
            /// What may stand in it.
            pub(crate) const KEYS: &'static [$crate::config::Key] = &[
                $( $crate::config::Key {
                    section: $section,
                    name: stringify!($field),
                    about: concat!($($doc),*),
                    shape: $shape,
                }, )*
            ];
        }
    };
}
pub(super) use section;

/// The keys at the top of the file. Their doc comments stand in [`Config`].
const TOP: [Key; 4] = [
    Key {
        section: "",
        name: "data",
        about: " The directory that holds everything: people, sessions, repositories, images. Only one server may use it at a time.",
        shape: Shape::Text,
    },
    Key {
        section: "",
        name: "default_model",
        about: " `provider/model` that new sessions use unless they say otherwise; empty for the first that is there.",
        shape: Shape::Text,
    },
    Key {
        section: "",
        name: "scripted_transcript",
        about: " A transcript for the scripted model, which is no model; without it the one of the demo. It is offered where no other model is, or where this is set.",
        shape: Shape::Text,
    },
    Key {
        section: "",
        name: "titles",
        about: " Who gives a session its title until a person does: its model, asked once beside the first turn, or the first words of the first prompt.",
        shape: Shape::Choice(&["model", "first_words"]),
    },
];

/// Every key there is.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    TOP.iter()
        .chain(HttpConfig::KEYS)
        .chain(PeopleConfig::KEYS)
        .chain(SessionsConfig::KEYS)
        .chain(SandboxConfig::KEYS)
        .chain(ImagesConfig::KEYS)
        .chain(BasesConfig::KEYS)
        .chain(PoolConfig::KEYS)
        .chain(BudgetsConfig::KEYS)
        .chain(NetworkConfig::KEYS)
        .chain(LogConfig::KEYS)
        .chain(ModelConfig::KEYS)
        .chain(AgentConfig::KEYS)
        .chain(McpServerConfig::KEYS)
        .chain(RegistryConfig::KEYS)
        .chain(TrustedConfig::KEYS)
        .chain(SecretConfig::KEYS)
        .chain(PluginConfig::KEYS)
}

/// The tables of `hangar.toml`, as the reference names them.
const TABLES: [(&str, &str, &str); 18] = [
    ("", "At the top", "These stand before the first table."),
    (HttpConfig::SECTION, "`[http]`", "Where and how the server listens."),
    (PeopleConfig::SECTION, "`[people]`", "The first person, and how long people stay signed in."),
    (
        SessionsConfig::SECTION,
        "`[sessions]`",
        "Who sees new sessions, how long deleted ones are kept, and whether programs in sandboxes may ask models; see [sessions.md](sessions.md) and [gateway.md](gateway.md).",
    ),
    (ImagesConfig::SECTION, "`[images]`", "How images are built and kept; see [images.md](images.md)."),
    (
        BasesConfig::SECTION,
        "`[bases]`",
        "How bases of images are made, and how much an image from elsewhere may bring; see [bases.md](bases.md).",
    ),
    (PoolConfig::SECTION, "`[pool]`", "How many sandboxes are kept ready over the images of busy repositories."),
    (
        BudgetsConfig::SECTION,
        "`[budgets]`",
        "How much work sessions and people may use up; see [budgets.md](budgets.md). A turn that reaches a limit waits, with its work intact.",
    ),
    (
        NetworkConfig::SECTION,
        "`[network]`",
        "What every session may reach. Everything else is refused until a person allows it for a session; see [network.md](network.md).",
    ),
    (LogConfig::SECTION, "`[log]`", "What is logged to standard error, and how."),
    (
        SandboxConfig::SECTION,
        "`[sandbox]`",
        "What kind of wall stands around sandboxes; [backends.md](backends.md) says which to choose.",
    ),
    (
        ModelConfig::SECTION,
        "`[[models]]`",
        "One table for each model. `ANTHROPIC_API_KEY` and `OPENAI_API_KEY` (with `ANTHROPIC_BASE_URL` and `OPENAI_BASE_URL`) need none: \
         their models are there when the variable is set, and `ANTHROPIC_MODEL` or `OPENAI_MODEL` names another one.",
    ),
    (
        AgentConfig::SECTION,
        "`[[agents]]`",
        "One table for each external agent that may work in sessions instead of hangar's own; see [harnesses.md](harnesses.md).",
    ),
    (
        McpServerConfig::SECTION,
        "`[[mcp_servers]]`",
        "One table for each MCP server whose tools the agent can call; see [mcp.md](mcp.md). A repository can bring its own besides.",
    ),
    (
        RegistryConfig::SECTION,
        "`[[registries]]`",
        "One table for each registry that wants a name and a password, or has no TLS. Registries without either need none.",
    ),
    (
        TrustedConfig::SECTION,
        "`[[trusted]]`",
        "One table for each name that may lead to an address of an inner network: a mirror, a service of yours.",
    ),
    (
        SecretConfig::SECTION,
        "`[[secrets]]`",
        "One table for each credential that agents can use and never see: it is added to requests to its host outside the sandbox.",
    ),
    (
        PluginConfig::SECTION,
        "`[[plugins]]`",
        "One table for each JavaScript plugin that watches over sessions, in the order in which they are asked; see [plugins.md](plugins.md).",
    ),
];

/// The part of `docs/configuration.md` that lists the keys, written from the table.
#[must_use]
pub fn reference() -> String {
    let defaults = serde_json::to_value(Config::in_directory("…".into())).unwrap_or_default();
    let model = serde_json::to_value(ModelConfig::default()).unwrap_or_default();
    let agent = serde_json::to_value(AgentConfig::default()).unwrap_or_default();
    let mcp_server = serde_json::to_value(McpServerConfig::default()).unwrap_or_default();
    let registry = serde_json::to_value(RegistryConfig::default()).unwrap_or_default();
    let trusted = serde_json::to_value(TrustedConfig::default()).unwrap_or_default();
    let secret = serde_json::to_value(SecretConfig::default()).unwrap_or_default();
    let plugin = serde_json::to_value(PluginConfig::default()).unwrap_or_default();
    let mut page = String::new();
    for (section, title, about) in TABLES {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "## {title}\n\n{about}\n\n| key | default | value | what it sets |\n| --- | --- | --- | --- |\n"
        );
        for key in keys().filter(|key| key.section == section) {
            let default = match section {
                ModelConfig::SECTION => model.get(key.name),
                AgentConfig::SECTION => agent.get(key.name),
                McpServerConfig::SECTION => mcp_server.get(key.name),
                RegistryConfig::SECTION => registry.get(key.name),
                TrustedConfig::SECTION => trusted.get(key.name),
                SecretConfig::SECTION => secret.get(key.name),
                PluginConfig::SECTION => plugin.get(key.name),
                _ => at(&defaults, key),
            };
            let shown = match (key.name, default) {
                ("data", _) => "see above".to_owned(),
                (_, None | Some(serde_json::Value::Null)) => "none".to_owned(),
                (_, Some(value)) => format!("`{value}`"),
            };
            let _ = writeln!(page, "| `{}` | {shown} | {} | {} |", key.name, shape(key.shape), key.about.trim());
        }
        page.push('\n');
    }
    page
}

fn at<'a>(defaults: &'a serde_json::Value, key: &Key) -> Option<&'a serde_json::Value> {
    let table = if key.section.is_empty() { Some(defaults) } else { defaults.get(key.section) };
    table.and_then(|table| table.get(key.name))
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Number(unit) => format!("number ({unit})"),
        Shape::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Secret => "text, never printed".to_owned(),
        Shape::List => "list of texts".to_owned(),
    }
}
