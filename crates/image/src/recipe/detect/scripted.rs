//! Ruby, PHP and Elixir.

use super::{Place, Project};

pub(super) fn ruby(place: Place<'_>) -> Option<Project> {
    let gemfile = place.text("Gemfile")?;
    let test = if gemfile.contains("rspec") || place.has("spec") {
        Some("bundle exec rspec")
    } else if gemfile.contains("rails") {
        Some("bundle exec rails test")
    } else if place.has("Rakefile") {
        Some("bundle exec rake test")
    } else {
        None
    };
    Some(Project {
        setup: vec!["bundle install".into()],
        warm: test.map(str::to_owned).into_iter().collect(),
        // Not into the system's directory, which is read only, and not into the work tree, where git would see it.
        env: vec![("BUNDLE_PATH", "/home/agent/.bundle/gems")],
        ..Project::default()
    })
}

pub(super) fn php(place: Place<'_>) -> Option<Project> {
    place.first(&["composer.lock", "composer.json"])?;
    let tested = place.first(&["phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml"]).is_some();
    Some(Project {
        setup: vec!["composer install --no-interaction --no-progress".into()],
        warm: tested.then(|| "vendor/bin/phpunit".to_owned()).into_iter().collect(),
        ..Project::default()
    })
}

pub(super) fn elixir(place: Place<'_>) -> Option<Project> {
    place.has("mix.exs").then(|| Project {
        setup: vec!["mix local.hex --force && mix local.rebar --force\nmix deps.get".into()],
        warm: vec!["mix compile".into(), "mix test".into()],
        ..Project::default()
    })
}
