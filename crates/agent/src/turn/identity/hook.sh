#!/bin/sh
# hangar: names those who steered the turn as co-authors, then runs the repository's own hook of this name.
name=${0##*/}
if [ "$name" = prepare-commit-msg ] && [ -n "$HANGAR_CO_AUTHORS" ]; then
  printf '%s\n' "$HANGAR_CO_AUTHORS" | while IFS= read -r person; do
    [ -z "$person" ] || git interpret-trailers --in-place --if-exists addIfDifferent --trailer "Co-authored-by: $person" "$1"
  done
fi
own=$(env -u GIT_CONFIG_COUNT git rev-parse --git-path hooks)/$name
if [ -x "$own" ]; then exec "$own" "$@"; fi
exit 0
