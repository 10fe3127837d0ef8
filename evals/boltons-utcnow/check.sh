fail() { echo "$1"; exit 1; }
python3 check_utc.py | tee out
grep -qx "times are as they were" out || fail "$(tail -n 1 out)"
python3 - <<'PY' || fail "the examples of timeutils fail"
import doctest, boltons.timeutils
found = doctest.testmod(boltons.timeutils)
raise SystemExit(found.failed > 0 or found.attempted < 25)
PY
