# Comparisons are counted: a set compares equal hashes alone, a list everything.
fail() { echo "$1"; exit 1; }
python3 check_unique.py | tee out
grep -qx "unique is as it should be" out || fail "$(tail -n 1 out)"
python3 - <<'PY' || fail "the examples of the documentation fail"
import doctest, toolz.itertoolz
found = doctest.testmod(toolz.itertoolz)
raise SystemExit(found.failed > 0 or found.attempted < 80)
PY
