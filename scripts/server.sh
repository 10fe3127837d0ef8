# To be sourced. start_server DIR: a real hangar on a free port with the demo repository; sets HANGAR_URL, HANGAR_CODE, HANGAR_TOKEN.
# stop_server ends it and removes DIR.

start_server() {
  server_dir=$1
  local log=$server_dir/server.log
  mkdir -p "$server_dir"
  export XDG_CONFIG_HOME=$server_dir/config
  HANGAR_DATA=$server_dir/data "$HANGAR_BIN" up --port 0 --link --json >"$log" 2>"$server_dir/server.err" &
  server_pid=$!
  for _ in $(seq 300); do
    [ -s "$log" ] && break
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if ! HANGAR_URL=$(head -n 1 "$log" | python3 -c 'import json,sys; print(json.load(sys.stdin)["url"])' 2>/dev/null); then
    cat "$server_dir/server.err" >&2
    echo "The server did not start." >&2
    return 1
  fi
  HANGAR_LINK=$(head -n 1 "$log" | python3 -c 'import json,sys; print(json.load(sys.stdin)["link"])')
  HANGAR_CODE=${HANGAR_LINK#*#}
  HANGAR_TOKEN=$("$HANGAR_BIN" token create --json "scripts" | python3 -c 'import json,sys; print(json.load(sys.stdin)["secret"])')
  export HANGAR_URL HANGAR_LINK HANGAR_CODE HANGAR_TOKEN
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
  cargo metadata --format-version 1 --locked | python3 -c '
import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "strsim":
        print(os.path.dirname(package["manifest_path"]))
        break
'
}
