fail() { echo "$1"; exit 1; }
node check-split.js | tee out
grep -qx "all of it does what it did" out || fail "$(tail -n 1 out)"
[ "$(grep -cE '365\.25|1000|1e3' units.js)" -ge 1 ] || fail "units.js does not have the lengths"
! grep -nE '365\.25|60 \*|\* 60|3600|86400|1000' index.js parse.js format.js || fail "lengths stand outside units.js"
[ "$(wc -l < index.js)" -lt 50 ] || fail "index.js still does more than choose"
