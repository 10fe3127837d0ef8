fail() { echo "$1"; exit 1; }
node check-weeks.js | tee out
grep -qx "21 as they should be" out || fail "$(tail -n 1 out)"
grep -qiE "weeks?['\"\`)]|[0-9]w" readme.md && grep -qE "ms\(.*(w|week)" readme.md || fail "the README does not know of weeks"
