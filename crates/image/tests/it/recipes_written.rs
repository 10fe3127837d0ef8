//! Recipes that a repository has written down.

use crate::recipes::{check, refusal};

const HANGAR: &str = ".hangar/environment.toml";

#[test]
fn our_own_format_says_everything() {
    let text = r#"
base = { debian = "bookworm", packages = ["postgresql"] }
setup = ["npm ci", { run = "apt-get install -y jq", root = true, timeout = "5m", name = "jq" }]
warm = [{ run = "npm test", directory = "web", env = { CI = "1" } }]
verify = "test -d node_modules"
start = ["npm run codegen"]
ports = [3000]
repositories = ["team/shared", { repo = "team/other", branch = "next", name = "beside" }]
schedule = "2h"

[env]
PATH = "/workspace/bin:${PATH}"

[network]
setup = ["npm.example.com", "*.cdn.example.com:443"]
agent = ["api.example.com"]

[[services]]
name = "web"
run = "npm run dev"
health = { http = "http://127.0.0.1:3000/" }
restart = "always"

[[services]]
name = "cache"
uses = "redis"
"#;
    check(
        &[(HANGAR, text), ("package.json", "{\"scripts\": {\"test\": \"never\"}}")],
        r#"from .hangar/environment.toml
           base Debian { suite: "bookworm", packages: ["postgresql"] }
           setup npm ci
           setup apt-get install -y jq as root
           warm npm test in web CI=1
           verify test -d node_modules
           start npm run codegen
           service web Http("http://127.0.0.1:3000/") Always: npm run dev
           service cache Tcp(6379) OnFailure: exec redis-server --bind 127.0.0.1 --port 6379 --dir /home/agent/.hangar/services/cache --save '' --appendonly yes
           env PATH=/workspace/bin:${PATH}
           ports [3000]
           setup may reach npm.example.com
           setup may reach *.cdn.example.com:443
           agent may reach api.example.com
           beside team/shared "" at /repos/shared
           beside team/other "next" at /repos/beside"#,
    );
}

#[test]
fn what_is_left_open_comes_from_lock_files() {
    check(
        &[(HANGAR, "base = 'debian'\n"), ("go.mod", "module x")],
        r#"from .hangar/environment.toml
           base Debian { suite: "", packages: [] }
           setup go mod download
           warm go build ./...
           warm go test ./...
           note .hangar/environment.toml has no set-up step; those of the lock files are used."#,
    );
}

#[test]
fn mistakes_are_refused_with_their_line() {
    for (text, expected) in [
        ("base = 'host'\nsteps = []\n", ".hangar/environment.toml, line 2: unknown field `steps`"),
        ("\n\nsetup = ['a'\n", ".hangar/environment.toml, line "),
        ("setup = ['a', { run = 'b', dir = 'c' }]", ".hangar/environment.toml, line 1: unknown field `dir`"),
        ("\n[[services]]\nname = 'a'\nrum = 'b'\n", ".hangar/environment.toml, line 4: unknown field `rum`"),
        ("base = 'alpine'", "base = \"alpine\" is not known; write \"host\""),
        ("base = { image = 'a', dockerfile = 'b' }", "exactly one of"),
        ("base = { dockerfile = '../../etc/passwd' }", "leads out of the repository"),
        ("base = { image = 'a', args = { A = '1' } }", "belong to a base with `dockerfile`"),
        ("setup = [' ']", "nothing to run"),
        ("setup = [{ run = 'a', root = true }]", "the base `host` has nothing root could change"),
        ("setup = [{ run = 'a', timeout = 'soon' }]", "\"soon\" is not a length of time"),
        ("setup = [{ run = 'a', timeout = '9h' }]", "between 1 s and 6 h"),
        ("schedule = '5s'", "shorter than a minute"),
        ("[[services]]\nname = 'a'", "needs `run = \"…\"`, or `uses`"),
        (
            "[[services]]\nname = 'a'\nuses = 'mysql'",
            "uses = \"mysql\" is not known; hangar knows postgresql and redis",
        ),
        ("[[services]]\nname = 'a'\nrun = 'b'\nhealth = {}", "exactly one of `tcp`, `http` and `command`"),
        ("[[services]]\nname = 'a'\nrun = 'b'\n[[services]]\nname = 'a'\nrun = 'c'", "two services are called `a`"),
        ("[[services]]\nname = 'p'\nuses = 'postgresql'\ndatabase = \"x'; drop\"", "must be letters, digits"),
        ("repositories = ['a/b', 'c/b']", "two repositories would be at /repos/b"),
        ("repositories = ['nowhere']", "repository"),
        ("[env]\n\"A B\" = '1'", "cannot name a variable"),
        ("[network]\nagent = ['http://x']", "is not a name to allow"),
    ] {
        let refused = refusal(&[(HANGAR, text)]);
        assert!(refused.contains(expected), "{text:?} gives {refused:?}");
    }
}

#[test]
fn devcontainers_are_honoured_as_far_as_they_fit() {
    let text = r#"{
        // What VS Code wrote.
        "name": "app",
        "image": "mcr.example.com/devcontainers/typescript-node:22",
        "features": { "ghcr.io/devcontainers/features/go:1": {} },
        "onCreateCommand": "npm ci",
        "updateContentCommand": ["npm", "run", "build it's"],
        "postStartCommand": { "server": "npm start", "watch": ["npm", "run", "watch"] },
        "containerEnv": { "MODE": "dev", "GONE": "x" },
        "remoteEnv": { "PATH": "${containerEnv:PATH}:${containerWorkspaceFolder}/bin", "GONE": null, "U": "${localEnv:USER:nobody}" },
        "forwardPorts": [3000, "localhost:5173", "db:5432"],
        "customizations": {},
    }"#;
    check(
        &[(".devcontainer/devcontainer.json", text)],
        r#"from .devcontainer/devcontainer.json
           base Pull { reference: "mcr.example.com/devcontainers/typescript-node:22" }
           setup npm ci
           setup npm run 'build it'\''s'
           start npm start
           start npm run watch
           env MODE=dev
           env PATH=${PATH}:/workspace/bin
           env U=nobody
           ports [3000, 5173]
           note ${localEnv:USER} is "nobody": nothing of the host's environment enters a sandbox.
           note The port db:5432 is not in the sandbox and is not forwarded.
           note devcontainer.json: `features` is not honoured: hangar installs no features; install what they bring in `onCreateCommand`, or in the image."#,
    );
    let built =
        r#"{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": "1"}}, "onCreateCommand": "true"}"#;
    check(
        &[(".devcontainer/rust/devcontainer.json", built)],
        r#"from .devcontainer/rust/devcontainer.json
           base Dockerfile { path: ".devcontainer/rust/Dockerfile", context: ".devcontainer", target: "", args: {"A": "1"} }
           setup true"#,
    );
    check(
        &[(".devcontainer.json", r#"{"dockerFile": "Dockerfile", "onCreateCommand": "true"}"#)],
        r#"from .devcontainer.json
           base Dockerfile { path: "Dockerfile", context: "", target: "", args: {} }
           setup true"#,
    );
    let refused = refusal(&[(".devcontainer.json", "{\n\n \"image\": 3\n}")]);
    assert_eq!(refused, ".devcontainer.json: `image` must be text");
    let refused = refusal(&[(".devcontainer.json", "{\n\n \"image\": ]\n}")]);
    assert!(refused.starts_with(".devcontainer.json, line 3: "), "{refused}");
}

#[test]
fn cursor_environments_are_honoured() {
    let text = r#"{
        "install": "npm ci", "start": "true",
        "terminals": [{"name": "Dev Server", "command": "npm run dev"}, {"command": "npm run worker"}],
        "build": {"dockerfile": "Dockerfile", "context": ".."}, "user": "ubuntu",
        "ports": [{"name": "web", "port": 3000}], "repositoryDependencies": ["github.com/team/lib"]
    }"#;
    check(
        &[(".cursor/environment.json", text)],
        r#"from .cursor/environment.json
           base Dockerfile { path: ".cursor/Dockerfile", context: "", target: "", args: {} }
           setup npm ci
           start true
           service dev-server Running Never: npm run dev
           service terminal-2 Running Never: npm run worker
           ports [3000]
           beside team/lib "" at /repos/lib
           note .cursor/environment.json: `user` is not honoured: commands run as `agent`."#,
    );
}

#[test]
fn copilot_steps_are_honoured() {
    let text = r#"
name: Copilot Setup Steps
on: workflow_dispatch
env:
  TOKEN: ${{ secrets.TOKEN }}
  MODE: test
jobs:
  copilot-setup-steps:
    runs-on: ubuntu-latest
    defaults:
      run:
        working-directory: web
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-node@v4
        with:
          node-version: 22.x
      - uses: docker/login-action@v3
      - name: Install
        run: |
          npm ci
          npm run build
        env:
          N: 1
        timeout-minutes: 3
      - run: make
        working-directory: .
        if: always()
      - run: echo ${{ github.sha }}
"#;
    check(
        &[(".github/workflows/copilot-setup-steps.yml", text)],
        r#"from .github/workflows/copilot-setup-steps.yml
           setup if command -v mise >/dev/null; then mise use --global --yes node@22; else echo 'hangar: the base has no mise, so node 22 is not installed; what the base has is used' >&2; fi
           setup npm ci; npm run build;  in web N=1
           setup make in .
           env MODE=test
           note The variable `TOKEN` is left out: its value is filled in by GitHub only.
           note `uses: docker/login-action@v3` is skipped: hangar does not run actions; write what it does as a `run` step.
           note `step 5` has a condition (`if`); it is run in any case.
           note `step 6` is skipped: it uses `${{ … }}`, which only GitHub fills in."#,
    );
    let refused = refusal(&[(".github/workflows/copilot-setup-steps.yml", "jobs:\n  other: {}\n")]);
    assert!(refused.ends_with("there is no job `copilot-setup-steps`"), "{refused}");
    let refused = refusal(&[(".github/workflows/copilot-setup-steps.yml", "jobs:\n  a: [\n")]);
    assert!(refused.contains(", line "), "{refused}");
}

#[test]
fn the_first_format_decides() {
    let files = [
        (HANGAR, "setup = ['one']"),
        (".devcontainer.json", r#"{"onCreateCommand": "two"}"#),
        (".cursor/environment.json", r#"{"install": "three"}"#),
        (".github/workflows/copilot-setup-steps.yml", "jobs: {copilot-setup-steps: {steps: [{run: four}]}}"),
        ("go.mod", "module five"),
    ];
    for (at, expected) in ["one", "two", "three", "four", "go mod download"].iter().enumerate() {
        let recipe =
            hangar_image::recipe::Recipe::read(&hangar_image::recipe::Files::of(files[at..].iter().copied())).unwrap();
        assert_eq!(recipe.setup[0].script, *expected);
    }
}
