# To be sourced. start_server DIR [flags of up]: a real hangar on a free port, with everything it writes in DIR. Sets HANGAR_URL,
# HANGAR_LINK, HANGAR_CODE, HANGAR_TOKEN and HANGAR_MODEL. stop_server ends it and removes DIR. HANGAR_BIN names the program.

start_server() {
  server_dir=$1
  shift
  mkdir -p "$server_dir"
  export XDG_CONFIG_HOME=$server_dir/config
  "$HANGAR_BIN" up --data "$server_dir/data" --port 0 --link --json "$@" >"$server_dir/up.json" 2>"$server_dir/server.log" &
  server_pid=$!
  for _ in $(seq 600); do
    up_says url >/dev/null 2>&1 && break
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if ! HANGAR_URL=$(up_says url); then
    cat "$server_dir/server.log" >&2
    echo "The server did not start." >&2
    return 1
  fi
  HANGAR_LINK=$(up_says sign_in_link url)
  HANGAR_CODE=${HANGAR_LINK#*#}
  HANGAR_MODEL="$(up_says model id) ($(up_says model note))"
  HANGAR_TOKEN=$("$HANGAR_BIN" token create scripts --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret"])')
  export HANGAR_URL HANGAR_LINK HANGAR_CODE HANGAR_TOKEN HANGAR_MODEL
}

up_says() {
  python3 -c '
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[key]
print(value)
' "$server_dir/up.json" "$@" 2>/dev/null
}

stop_server() {
  [ -n "${server_pid:-}" ] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
  rm -rf "$server_dir"
}

# The demo's repository: the published source of the crate strsim, which this workspace depends on itself (through clap), so that
# it lies on this machine already, at the version of the lock file.
demo_source() {
  cargo metadata --format-version 1 --locked 2>/dev/null | python3 -c '
import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "strsim":
        print(os.path.dirname(package["manifest_path"]))
        break
'
}
