//! The TypeScript types, generated from the Rust ones.

use std::{any::TypeId, collections::BTreeMap, collections::HashSet};

use hangar_protocol::{
    Command, Event, EventKind, Frame, SessionState, api,
    frame::{Ask, SessionFrame},
};
use ts_rs::{Config, TS, TypeVisitor};

use crate::committed;

const HEADER: &str = "\
// Generated from crates/protocol. Do not edit: `HANGAR_BLESS=1 cargo test -p hangar-protocol` writes it anew.
/* oxlint-disable */
";

/// Collects the declarations of every type that is reachable from the roots, sorted by name.
struct Declarations {
    config: Config,
    seen: HashSet<TypeId>,
    found: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        // Only types that derive `TS` have a file of their own; strings, lists and maps are spelt where they stand.
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration: String = format!("{docs}export {}", T::decl(&self.config))
                .lines()
                .map(|line| format!("{}\n", line.trim_end()))
                .collect();
            let earlier = self.found.insert(T::ident(&self.config), declaration);
            assert!(earlier.is_none(), "two types are called {}", T::ident(&self.config));
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

#[test]
fn committed_typescript_is_fresh() {
    let mut all = Declarations { config: Config::new(), seen: HashSet::new(), found: BTreeMap::new() };
    all.visit::<Event>();
    all.visit::<Frame>();
    all.visit::<SessionFrame>();
    all.visit::<Ask>();
    all.visit::<EventKind>();
    all.visit::<SessionState>();
    all.visit::<Command>();
    all.visit::<api::ErrorBody>();
    all.visit::<api::Me>();
    all.visit::<api::SignIn>();
    all.visit::<api::NewUser>();
    all.visit::<api::SignInLink>();
    all.visit::<api::NewToken>();
    all.visit::<api::TokenInfo>();
    all.visit::<api::CreatedToken>();
    all.visit::<api::RepoInfo>();
    all.visit::<api::NewRepo>();
    all.visit::<api::ModelInfo>();
    all.visit::<api::AgentInfo>();
    all.visit::<api::ImageInfo>();
    all.visit::<api::ImportedImage>();
    all.visit::<api::NewBuild>();
    all.visit::<api::BuildLog>();
    all.visit::<api::PoolInfo>();
    all.visit::<api::Warm>();
    all.visit::<api::Warming>();
    all.visit::<api::NewSession>();
    all.visit::<api::NewPrompt>();
    all.visit::<api::SaidPrompt>();
    all.visit::<api::PromptPatch>();
    all.visit::<api::MovedPrompt>();
    all.visit::<api::SteeredPrompt>();
    all.visit::<api::StopTurn>();
    all.visit::<api::PromptAccepted>();
    all.visit::<api::StopAccepted>();
    all.visit::<api::SessionBudget>();
    all.visit::<api::DayBudgets>();
    all.visit::<api::SessionPatch>();
    all.visit::<api::NewFork>();
    all.visit::<api::RewindRequest>();
    all.visit::<api::SandboxRetry>();
    all.visit::<api::SavedPrompt>();
    all.visit::<api::NewAttempts>();
    all.visit::<api::Attempt>();
    all.visit::<api::SessionSummary>();
    all.visit::<api::EventPage>();
    all.visit::<api::RoleWish>();
    all.visit::<api::VisibilityWish>();
    all.visit::<api::NewInvitation>();
    all.visit::<api::NewInvitationLink>();
    all.visit::<api::InvitationSecret>();
    all.visit::<api::InvitationView>();
    all.visit::<api::Joined>();
    all.visit::<api::MergePullRequest>();
    all.visit::<api::PullRequestView>();
    all.visit::<api::SessionDiff>();
    all.visit::<api::Health>();
    let declarations: Vec<String> = all.found.into_values().collect();
    committed::check("clients/protocol/src/generated.ts", &format!("{HEADER}\n{}", declarations.join("\n")));
}
