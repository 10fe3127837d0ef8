fail() { echo "$1"; exit 1; }
! grep -rniE 'train.?case|mod train|train::' src README.md || fail "an old name is still there"
[ ! -e src/train.rs ] && [ -e src/header.rs ] || fail "the module's file has its old name"
grep -q 'Header-Case' README.md && grep -q 'Header-Case' src/lib.rs || fail "the texts do not name Header-Case"
cargo test --offline > out 2>&1 || { cat out; fail "the tests fail"; }
grep -q "test result: ok. 2 passed" out || fail "the new names are not there"
[ "$(grep -c '^test header::tests::.* ok$' out)" -ge 23 ] || fail "tests of the conversion are gone"
