fail() { echo "$1"; exit 1; }
node check-cjs.cjs > out 2>&1 || fail "lib/index.js: $(grep -m1 Error out)"
grep -qx "7 good" out || fail "lib/index.js does not do what was asked"
node check-esm.mjs > out 2>&1 || fail "lib/index.mjs: $(grep -m1 Error out)"
grep -qx "7 good" out || fail "lib/index.mjs does not do what was asked"
grep -qE '^\s*onUnknown\?\(flag: string\): void;' index.d.ts && ! grep -q 'unknown?' index.d.ts || fail "the types have the old name"
! grep -nE '(opts|options)\.unknown\b|#optionsunknown\b' readme.md || fail "the README has the old name"
[ "$(grep -cE '(opts|options)\.onUnknown|#optionsonunknown' readme.md)" -ge 4 ] || fail "the README does not have the new name"
