fail() { echo "$1"; exit 1; }
run() { python3 -m shortuuid.cli "$@"; }
u=3b1f8b40-222c-4a6e-b77e-779d5a94e21c
s=$(run encode $u) && [ "$(run decode "$s")" = $u ] || fail "what was encoded is not decoded any more"
[ "$(run decode --legacy "$(printf %s "$s" | rev)")" = $u ] || fail "--legacy does not work any more"
for bad in 'no id!' '0OIl' '' "${s}${s}" 'ä'; do
    if said=$(run decode "$bad" 2>err); then fail "'$bad' is not refused"; else status=$?; fi
    [ $status = 2 ] || fail "'$bad' ends with status $status"
    [ -z "$said" ] || fail "'$bad' prints something on standard output"
    ! grep -q Traceback err || fail "'$bad' ends with a traceback"
    [ "$(grep -c . err)" = 1 ] || fail "'$bad' is not told in one line"
    grep -qF -- "$bad" err || fail "the line does not name '$bad'"
done
if run encode nonsense >/dev/null 2>&1; then fail "encode takes nonsense"; fi
python3 - <<'PY' || fail "errors that have nothing to do with it are hidden"
import shortuuid.cli as cli
def broken(*args, **more): raise RuntimeError("of its own")
cli.decode = broken
try:
    cli.cli(["decode", "abc"])
except RuntimeError:
    raise SystemExit(0)
raise SystemExit(1)
PY
python3 -m unittest shortuuid.test_shortuuid > out 2>&1 || { cat out; fail "the package's own tests fail"; }
