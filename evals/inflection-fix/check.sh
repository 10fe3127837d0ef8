fail() { echo "$1"; exit 1; }
python3 -m unittest -v test_inflection check_more > out 2>&1 || { cat out; fail "$(grep -m1 -E '^(AssertionError|FAIL:|ERROR:)' out)"; }
grep -q '^Ran 6 tests' out || fail "not all of the tests ran"
python3 -m doctest inflection/__init__.py || fail "the examples of the documentation fail"
