fail() { echo "$1"; exit 1; }
node check-drain.mjs > out 2>&1 || fail "$(grep -m1 Error out)"
grep -qx "6 good" out || fail "drain does not do what was asked"
grep -qE 'drain\(\): (IterableIterator|Iterable|Generator)<' index.d.ts || fail "index.d.ts does not declare it"
grep -B4 'drain()' index.d.ts | grep -q '\*/' || fail "index.d.ts has no comment on it"
grep -q 'drain()' readme.md || fail "the README does not describe it"
